//! Makes upright, square, progressive, standard-range pictures of whatever a decoder gives.

use super::ffi;
use super::report::Stop;
use super::timeline::{TICK, rescale};
use crate::model::problem::ProblemCode;
use ffmpeg_next::{Error, filter, frame};

/// How the stored picture has to be turned to stand upright.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orientation {
    /// Clockwise degrees: 0, 90, 180 or 270.
    pub rotation: u32,
    /// Filters that do it; empty if it already stands.
    filters: &'static str,
}

impl Orientation {
    /// Stands already.
    pub const UPRIGHT: Self = Self { rotation: 0, filters: "" };

    /// Reads a display matrix (16.16 fixed point, row by row, as MP4 stores it), mirrors included.
    pub fn from_matrix(matrix: Option<[i32; 9]>) -> Self {
        let Some(m) = matrix else { return Self::UPRIGHT };
        let [a, b, c, d] = [m[0], m[1], m[3], m[4]].map(f64::from);
        let angle = (b / b.hypot(d).max(1.0)).atan2(a / a.hypot(c).max(1.0)).to_degrees();
        let mirrored = a * d - b * c < 0.0;
        match (((angle / 90.0).round() as i32).rem_euclid(4), mirrored) {
            (0, false) => Self::UPRIGHT,
            (0, true) => Self { rotation: 0, filters: "vflip" },
            (1, false) => Self { rotation: 90, filters: "transpose=clock" },
            (1, true) => Self { rotation: 90, filters: "transpose=cclock_flip" },
            (2, false) => Self { rotation: 180, filters: "hflip,vflip" },
            (2, true) => Self { rotation: 180, filters: "hflip" },
            (_, false) => Self { rotation: 270, filters: "transpose=cclock" },
            (_, true) => Self { rotation: 270, filters: "transpose=clock_flip" },
        }
    }

    /// Says whether nothing has to be done.
    pub fn is_upright(self) -> bool {
        self.filters.is_empty()
    }

    /// Says whether width and height change places.
    pub fn swaps(self) -> bool {
        self.rotation % 180 == 90
    }
}

/// What has to be done to every picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Treatment {
    /// Turn it.
    pub orientation: Orientation,
    /// Weave out the two fields.
    pub deinterlace: bool,
    /// Bring high dynamic range down to the standard one.
    pub tone_map: Option<Hdr>,
    /// Width of the result.
    pub width: u32,
    /// Height of the result.
    pub height: u32,
    /// FFmpeg's name of the result's pixel format.
    pub format: &'static str,
    /// How many threads may work on one picture.
    pub threads: u32,
}

/// Curves of high dynamic range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hdr {
    /// SMPTE ST 2084, HDR10.
    Pq,
    /// ARIB STD-B67.
    Hlg,
}

impl Hdr {
    /// Reads FFmpeg's number of a transfer characteristic (ITU-T H.273).
    pub fn from_transfer(transfer: u32) -> Option<Self> {
        match transfer {
            16 => Some(Self::Pq),
            18 => Some(Self::Hlg),
            _ => None,
        }
    }
}

impl Treatment {
    fn filters(&self) -> String {
        let mut steps: Vec<String> = Vec::new();
        if self.deinterlace {
            steps.push("bwdif=mode=send_frame:parity=auto:deint=interlaced".into());
        }
        let (width, height) = if self.orientation.swaps() {
            (self.height, self.width)
        } else {
            (self.width, self.height)
        };
        // Scaling first: turning and tone mapping then touch fewer pixels.
        steps.push(format!("scale={width}:{height}:flags=bicubic:out_range=tv"));
        if !self.orientation.is_upright() {
            steps.push(self.orientation.filters.into());
        }
        if let Some(hdr) = self.tone_map {
            let curve = match hdr {
                Hdr::Pq => "smpte2084",
                Hdr::Hlg => "arib-std-b67",
            };
            // 203 cd/m² is the white of a page (ITU-R BT.2408). What the file says of its peak is
            // often wrong and then turns pictures dark, so it isn't asked. This curve leaves what
            // is no brighter than a page nearly as it is, and bends only what shines. Several
            // threads would make another picture in zscale, where it cuts it into slices.
            steps.push(format!(
                "zscale=tin={curve}:min=2020_ncl:pin=2020:t=linear:npl=203:p=bt709:threads=1,\
                 format=gbrpf32le,tonemap=tonemap=mobius:param=0.3:desat=0:peak=10,\
                 zscale=t=bt709:m=bt709:r=tv:threads=1"
            ));
        }
        steps.push("setsar=1".into());
        steps.push(format!("format={}", self.format));
        steps.join(",")
    }
}

/// A running filter graph: pictures in, treated pictures out, time stamps in result ticks.
pub struct Treater {
    graph: filter::Graph,
    treatment: Treatment,
    input: Input,
}

/// What pictures the graph was built for.
#[derive(PartialEq)]
struct Input {
    width: u32,
    height: u32,
    format: &'static str,
    aspect: (i32, i32),
}

impl Input {
    fn of(picture: &frame::Video) -> Option<Self> {
        let aspect = picture.aspect_ratio();
        let (num, den) = (aspect.numerator(), aspect.denominator());
        Some(Self {
            width: picture.width(),
            height: picture.height(),
            format: picture.format().descriptor()?.name(),
            aspect: if num > 0 && den > 0 { (num, den) } else { (1, 1) },
        })
    }
}

impl Treater {
    /// Builds the graph for pictures like `picture`.
    ///
    /// # Errors
    /// `OutOfMemory`; `Internal` if the libraries lack a filter; `DamagedMedia` for pixels without
    /// a name.
    pub fn new(treatment: Treatment, picture: &frame::Video) -> Result<Self, Stop> {
        let input = Input::of(picture).ok_or_else(odd_picture)?;
        let graph = build(&treatment, &input).map_err(|error| stop(error.into()))?;
        Ok(Self { graph, treatment, input })
    }

    /// Takes a picture whose time stamp is in result ticks and returns what comes out: nothing
    /// yet, or one or more.
    ///
    /// # Errors
    /// As [`Treater::new`]: a film may change its size on the way.
    pub fn treat(&mut self, picture: frame::Video) -> Result<Vec<frame::Video>, Stop> {
        let mut out = Vec::new();
        if Input::of(&picture).is_none_or(|input| input != self.input) {
            out = self.finish()?;
            *self = Self::new(self.treatment, &picture)?;
        }
        let mut source = self.graph.get("in").ok_or_else(odd_picture)?;
        source.source().add(&picture).map_err(|error| stop(error.into()))?;
        self.pull(&mut out)?;
        Ok(out)
    }

    /// Returns what is still inside.
    ///
    /// # Errors
    /// As [`Treater::treat`].
    pub fn finish(&mut self) -> Result<Vec<frame::Video>, Stop> {
        let mut source = self.graph.get("in").ok_or_else(odd_picture)?;
        source.source().flush().map_err(|error| stop(error.into()))?;
        let mut out = Vec::new();
        self.pull(&mut out)?;
        Ok(out)
    }

    fn pull(&mut self, out: &mut Vec<frame::Video>) -> Result<(), Stop> {
        let mut context = self.graph.get("out").ok_or_else(odd_picture)?;
        loop {
            let mut picture = frame::Video::empty();
            match context.sink().frame(&mut picture) {
                Ok(()) => {
                    // Deinterlacing counts in half ticks.
                    let time_base = context.sink().time_base();
                    let at = picture.pts().map(|at| rescale(at, time_base, TICK));
                    picture.set_pts(at);
                    out.push(picture);
                }
                Err(Error::Eof | Error::Other { errno: libc::EAGAIN }) => return Ok(()),
                Err(error) => return Err(stop(error.into())),
            }
        }
    }
}

fn build(treatment: &Treatment, input: &Input) -> Result<filter::Graph, Error> {
    let (source, sink) = match (filter::find("buffer"), filter::find("buffersink")) {
        (Some(source), Some(sink)) => (source, sink),
        _ => return Err(Error::FilterNotFound),
    };
    let mut graph = filter::Graph::new();
    ffi::set_threads(&mut graph, treatment.threads);
    let arguments = format!(
        "video_size={}x{}:pix_fmt={}:time_base={}/{}:pixel_aspect={}/{}",
        input.width,
        input.height,
        input.format,
        TICK.numerator(),
        TICK.denominator(),
        input.aspect.0,
        input.aspect.1
    );
    graph.add(&source, "in", &arguments)?;
    graph.add(&sink, "out", "")?;
    graph.output("in", 0)?.input("out", 0)?.parse(&treatment.filters())?;
    graph.validate()?;
    Ok(graph)
}

fn odd_picture() -> Stop {
    Stop::because(ProblemCode::DamagedMedia, "The pictures in the file can't be read.")
}

fn stop(error: ffi::FfiError) -> Stop {
    Stop::from_ffi(error, ProblemCode::Internal, "The pictures couldn't be converted.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way in which a phone can be held, and both mirrors, turn into the right filters.
    #[test]
    fn orientations() {
        const ONE: i32 = 1 << 16;
        let matrix = |a, b, c, d| Some([a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30]);
        for (matrix, rotation, filters) in [
            (None, 0, ""),
            (matrix(1, 0, 0, 1), 0, ""),
            (matrix(0, 1, -1, 0), 90, "transpose=clock"),
            (matrix(-1, 0, 0, -1), 180, "hflip,vflip"),
            (matrix(0, -1, 1, 0), 270, "transpose=cclock"),
            (matrix(1, 0, 0, -1), 0, "vflip"),
            (matrix(-1, 0, 0, 1), 180, "hflip"),
            (matrix(0, 1, 1, 0), 90, "transpose=cclock_flip"),
        ] {
            let orientation = Orientation::from_matrix(matrix);
            assert_eq!((orientation.rotation, orientation.filters), (rotation, filters));
        }
        assert!(Orientation::from_matrix(matrix(0, 1, -1, 0)).swaps());
        assert_eq!(Orientation::from_matrix(Some([0; 9])), Orientation::UPRIGHT);
    }

    /// A turned picture is scaled as it is stored, so the sizes change places before turning.
    #[test]
    fn filters_in_order() {
        let treatment = Treatment {
            orientation: Orientation { rotation: 90, filters: "transpose=clock" },
            deinterlace: true,
            tone_map: None,
            width: 360,
            height: 640,
            format: "yuv420p",
            threads: 1,
        };
        let filters = treatment.filters();
        assert!(filters.starts_with("bwdif=") && filters.contains("scale=640:360:"));
        assert!(filters.ends_with("transpose=clock,setsar=1,format=yuv420p"), "{filters}");
    }
}
