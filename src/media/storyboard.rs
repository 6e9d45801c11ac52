//! The seek bar's small pictures, side by side on sheets.

use super::extras::Film;
use super::report::Stop;
use super::still::{Developer, Still};
use crate::model::extra::Extra;
use crate::model::manifest::Picture;
use crate::model::storyboard::{COLUMNS, ROWS, Storyboard, TILE_SIDE_MAX, interval, sheet_file};
use crate::wire::Report;

/// JPEG quality of a sheet; small pictures that are seen for a moment.
const JPEG_QUALITY: u8 = 70;

/// Makes the sheets and reports them.
///
/// # Errors
/// `OutOfSpace`, `OutOfMemory`, `Internal`, `Gone`, and what opening the source can say.
pub fn make(film: &Film<'_, '_>) -> Result<(), Stop> {
    let Some(tile) = Developer::fit(film.probe, TILE_SIDE_MAX, TILE_SIDE_MAX) else {
        return Ok(());
    };
    let every = interval(film.duration());
    let count = (film.duration() / f64::from(every)).ceil().max(1.0) as u32;
    let mut source = film.open()?;
    let mut reel = film.reel(&mut source, Developer::is_far_below(film.probe, &tile))?;
    let mut developer = Developer::new(film.probe, tile.clone());
    let mut sheets = Sheets::new(&tile);
    let mut starts_ms = Vec::new();
    for number in 0..count {
        let begin = u64::from(number) * u64::from(every);
        // From the middle of its stretch; the last one may be short.
        let middle =
            (begin as f64 + f64::from(every) / 2.0).min((begin as f64 + film.duration()) / 2.0);
        // Where nothing new is found, what is there goes on being shown.
        let Some(found) = reel.at(middle)? else { continue };
        let still = match developer.still(&found.picture) {
            Ok(still) => still,
            Err(Stop::Problem(_)) => continue,
            Err(stop) => return Err(stop),
        };
        starts_ms.push(if starts_ms.is_empty() { 0 } else { begin * 1000 });
        sheets.add(&still);
        if sheets.is_full() {
            sheets.write(film)?;
        }
    }
    if starts_ms.is_empty() {
        return Ok(());
    }
    sheets.write(film)?;
    let storyboard = Storyboard { tile, starts_ms };
    film.reporter.send(Report::Extra { extra: Extra::Storyboard { storyboard } })
}

/// The sheet that is being filled.
struct Sheets {
    tile: Picture,
    /// Rows of pixels as far as there are tiles, all columns wide.
    rgb: Vec<u8>,
    tiles: u32,
    /// Sheets that are written.
    written: u32,
}

impl Sheets {
    fn new(tile: &Picture) -> Self {
        Self { tile: tile.clone(), rgb: Vec::new(), tiles: 0, written: 0 }
    }

    fn is_full(&self) -> bool {
        self.tiles == COLUMNS * ROWS
    }

    /// Puts a tile at the next place.
    fn add(&mut self, still: &Still) {
        let tile_bytes = self.tile.width as usize * 3;
        let row_bytes = tile_bytes * COLUMNS as usize;
        let (column, row) = ((self.tiles % COLUMNS) as usize, (self.tiles / COLUMNS) as usize);
        let height = self.tile.height as usize;
        self.rgb.resize((row + 1) * height * row_bytes, 0);
        let rows = self.rgb.chunks_exact_mut(row_bytes).skip(row * height);
        for (to, from) in rows.zip(still.rgb.chunks_exact(tile_bytes)) {
            to[column * tile_bytes..][..tile_bytes].copy_from_slice(from);
        }
        self.tiles += 1;
    }

    /// Writes what has gathered as the next sheet.
    fn write(&mut self, film: &Film<'_, '_>) -> Result<(), Stop> {
        if self.tiles == 0 {
            return Ok(());
        }
        self.written += 1;
        let sheet = Still {
            width: self.tile.width * COLUMNS,
            height: self.tile.height * self.tiles.div_ceil(COLUMNS),
            rgb: std::mem::take(&mut self.rgb),
        };
        self.tiles = 0;
        film.dir.write(&sheet_file(self.written), &sheet.jpeg(JPEG_QUALITY)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tiles lie where the WebVTT file says, and the sheet is as high as its rows.
    #[test]
    fn tiles_lie_in_rows() {
        let mut sheets = Sheets::new(&Picture { width: 2, height: 3 });
        for tile in 0..COLUMNS + 2 {
            let rgb = vec![tile as u8 + 1; 2 * 3 * 3];
            sheets.add(&Still { width: 2, height: 3, rgb });
        }
        let pixel = |x: usize, y: usize| sheets.rgb[(y * 2 * COLUMNS as usize + x) * 3];
        assert_eq!(sheets.rgb.len(), 2 * 3 * COLUMNS as usize * 3 * 2);
        assert_eq!((pixel(0, 0), pixel(3, 2), pixel(19, 0)), (1, 2, 10));
        assert_eq!((pixel(0, 3), pixel(3, 5), pixel(4, 3)), (11, 12, 0));
        assert!(!sheets.is_full());
    }
}
