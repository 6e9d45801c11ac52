//! Rungs that grow: which of them can be gone on with, and what a power cut leaves of them.

use crate::disk::DiskError;
use crate::ids::Epoch;
use crate::model::manifest::{INIT_FILE, Manifest, Rung, segment_file};
use std::ops::Range;

/// Says whether segments can follow those of a rung.
pub(super) fn can_grow(rung: &Rung) -> bool {
    !rung.complete && !rung.sealed
}

/// Returns the names of a rung's set-up file and of its segments number `range` (from 0).
pub(super) fn files_of(rung: &Rung, range: Range<u32>) -> Vec<String> {
    let all = rung.segments.len() as u32;
    let segments = range.start.min(all)..range.end.min(all);
    let segments = segments.map(|at| segment_file(at as usize + 1));
    std::iter::once(INIT_FILE.to_owned()).chain(segments).collect()
}

/// Sorts out what a power cut left of growing rungs. Those of which the disk had confirmed every
/// segment are gone on with. Of the others, players may hold segments that aren't there any more:
/// nothing may follow them under the same address, and their confirmed beginnings become rungs of
/// the generation `to` by `link`. Returns those.
pub(super) fn after_power_cut(
    manifest: &mut Manifest,
    to: Epoch,
    link: impl Fn(&Rung, &Rung) -> Result<(), DiskError>,
) -> Result<Vec<Rung>, DiskError> {
    let mut linked = Vec::new();
    for rung in manifest.rungs.iter_mut().filter(|rung| can_grow(rung)) {
        if rung.durable as usize >= rung.segments.len() {
            continue;
        }
        rung.sealed = true;
        if rung.durable == 0 {
            continue;
        }
        let mut beginning = Rung { generation: to, sealed: false, ..rung.clone() };
        beginning.segments.truncate(rung.durable as usize);
        beginning.durable = 0;
        link(rung, &beginning)?;
        linked.push(beginning);
    }
    Ok(linked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::playlist::tests::film;
    use std::cell::RefCell;

    /// After a power cut nothing follows segments that may be gone; what the disk had confirmed
    /// begins a new generation, and a rung that was confirmed whole is simply gone on with.
    #[test]
    fn a_power_cut_leaves_what_was_confirmed() {
        let mut manifest = film();
        for (rung, durable) in manifest.rungs.iter_mut().zip([2, 3, 0]) {
            (rung.complete, rung.durable) = (false, durable);
        }
        let links = RefCell::new(Vec::new());
        let link = |from: &Rung, to: &Rung| {
            let files = files_of(from, 0..from.durable);
            links.borrow_mut().push((from.directory(), to.directory(), files));
            Ok(())
        };
        let linked = after_power_cut(&mut manifest, Epoch(7), link).expect("no disk is asked");
        let sealed: Vec<bool> = manifest.rungs.iter().map(|rung| rung.sealed).collect();
        assert_eq!(sealed, [true, false, true]);
        let name = manifest.rungs[0].plan.name.clone();
        let files = ["init.mp4", "1.m4s", "2.m4s"].map(str::to_owned).to_vec();
        assert_eq!(links.take(), [(format!("{name}-1"), format!("{name}-7"), files)]);
        assert_eq!(linked.len(), 1);
        assert_eq!(linked[0].segments, manifest.rungs[0].segments[..2]);
        assert!(can_grow(&linked[0]) && linked[0].durable == 0);
    }
}
