//! What a job may cost once it is known what it works on: far more than any honest film or picture
//! needs, and far less than the bounds for all. Pure.

use crate::model::job::{PosterSource, Task};
use crate::model::rendition::{RenditionKind, RenditionPlan};
use crate::model::video::SourceFacts;
use crate::wire::Limits;
use crate::worker::Bounds;

/// CPU seconds for opening, looking, and the sound, and for each second of film besides.
const CPU_BASE_SECONDS: f64 = 120.0;
const CPU_PER_SECOND: f64 = 20.0;

/// CPU seconds for a second of 1920 × 1080 pixels at 30 pictures a second, each time it is decoded
/// or encoded: a hundred times what x264's `veryfast` takes, so that `veryslow` fits on a slow
/// machine.
const CPU_PER_HD_SECOND: f64 = 150.0;
const HD_PIXELS: f64 = 1920.0 * 1080.0 * 30.0;

/// What a file says of its length may be wrong: no film is bound closer than its bytes would be at
/// a rate that few films go below.
const BITS_PER_SECOND_LEAST: f64 = 250_000.0;

/// Address space that every child takes, and for each pixel of the source and of its qualities:
/// half as much again as was measured for ten bits of colour.
const MEMORY_BASE: u64 = 1 << 30;
const MEMORY_PER_PIXEL: u64 = 250;

/// Bytes of output beyond what the plan can need.
const OUTPUT_BASE: u64 = 256 << 20;

/// How often what was planned the output may be: a rate is kept over seconds, not in each.
const OUTPUT_SLACK: f64 = 4.0;

/// CPU seconds of a small job for opening and storing, and for each million pixels of one picture:
/// thirty times what JPEG and PNG take.
const PICTURE_BASE_SECONDS: f64 = 20.0;
const PICTURE_PER_MEGAPIXEL: f64 = 1.0;

/// CPU seconds for a second of film to be gone through to one picture, and for each second of
/// 1920 × 1080 pixels at 30 pictures a second: thirty times what decoding H.264 takes. A film with
/// a single key frame, or one that can't be sought in, is gone through from its start.
const WALK_PER_SECOND: f64 = 0.5;
const WALK_PER_HD_SECOND: f64 = 10.0;

/// Most pictures a second of a film that nobody has looked into yet.
const FRAME_RATE_UNKNOWN: f64 = 60.0;

/// Largest file that comes of a small job.
const PICTURE_BYTES_MAX: u64 = 64 << 20;

/// Returns the limits of the child that works on a small job, which are never above those for all;
/// `facts` are those of the film, if it has been looked into.
pub(super) fn of_small(task: &Task, facts: Option<&SourceFacts>, limits: &Limits) -> Limits {
    let pixels = |facts: &SourceFacts| f64::from(facts.width) * f64::from(facts.height);
    let most = limits.pixels_max as f64;
    let cpu = match task {
        Task::Film => return limits.clone(),
        Task::Poster { of: PosterSource::Image } => most / 1e6 * PICTURE_PER_MEGAPIXEL,
        Task::Poster { of: PosterSource::Time { seconds } } => {
            let length = seconds.min(limits.duration_ms_max as f64 / 1000.0);
            let load = facts.map_or(most * FRAME_RATE_UNKNOWN, |facts| {
                pixels(facts) * facts.frame_rate.max(1.0)
            });
            length * (WALK_PER_SECOND + WALK_PER_HD_SECOND * load / HD_PIXELS)
                + facts.map_or(most, pixels) / 1e6 * PICTURE_PER_MEGAPIXEL
        }
    };
    Limits {
        cpu_seconds_max: ((PICTURE_BASE_SECONDS + cpu) as u64).min(limits.cpu_seconds_max),
        file_bytes_max: PICTURE_BYTES_MAX.min(limits.file_bytes_max),
        ..limits.clone()
    }
}

/// Returns what the child may use for a source of `source_bytes`.
pub(super) fn of_child(
    facts: &SourceFacts,
    plan: &[RenditionPlan],
    source_bytes: u64,
    limits: &Limits,
) -> Bounds {
    let own = f64::from(facts.width) * f64::from(facts.height) * facts.frame_rate.max(1.0);
    let rates = plan.iter().map(|it| pixels(it) as f64 * it.frame_rate.max(1.0));
    let load = (own + rates.sum::<f64>()) / HD_PIXELS;
    let length = longest(facts, source_bytes);
    let cpu = CPU_BASE_SECONDS + length * (CPU_PER_SECOND + CPU_PER_HD_SECOND * load);
    let all =
        plan.iter().map(pixels).sum::<u64>() + u64::from(facts.width) * u64::from(facts.height);
    let memory = MEMORY_BASE.saturating_add(all.saturating_mul(MEMORY_PER_PIXEL));
    Bounds {
        cpu_seconds: (cpu as u64).min(limits.cpu_seconds_max),
        memory_bytes: memory.min(limits.memory_bytes_max),
    }
}

/// Returns how many bytes may come out of a source of `source_bytes`.
pub(super) fn of_output(facts: &SourceFacts, plan: &[RenditionPlan], source_bytes: u64) -> u64 {
    let is_large = |it: &RenditionPlan| it.copied && it.kind == RenditionKind::Video;
    let copied = plan.iter().any(is_large);
    let rates: u64 = plan.iter().filter(|it| !is_large(it)).map(|it| it.bandwidth_cap).sum();
    let planned = rates as f64 / 8.0 * longest(facts, source_bytes) * OUTPUT_SLACK;
    let from_source = if copied { source_bytes.saturating_mul(2) } else { 0 };
    OUTPUT_BASE.saturating_add(planned as u64).saturating_add(from_source)
}

/// Seconds that the film may well last.
fn longest(facts: &SourceFacts, source_bytes: u64) -> f64 {
    facts.duration.max(source_bytes as f64 * 8.0 / BITS_PER_SECOND_LEAST)
}

fn pixels(plan: &RenditionPlan) -> u64 {
    u64::from(plan.width) * u64::from(plan.height)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(width: u32, height: u32, duration: f64) -> (SourceFacts, Vec<RenditionPlan>) {
        let facts =
            SourceFacts { width, height, duration, frame_rate: 30.0, ..SourceFacts::default() };
        let plan = [(1, 6_000_000), (2, 2_000_000), (4, 500_000)].map(|(part, bandwidth_cap)| {
            RenditionPlan {
                width: width / part,
                height: height / part,
                frame_rate: 30.0,
                bandwidth_cap,
                ..RenditionPlan::sample(&format!("{}p", height / part))
            }
        });
        (facts, plan.into())
    }

    fn limits() -> Limits {
        Limits {
            pixels_max: 8192 * 4320,
            duration_ms_max: 86_400_000,
            memory_bytes_max: 2 << 30,
            cpu_seconds_max: 1_728_000,
            file_bytes_max: 1 << 30,
            streams_max: 32,
        }
    }

    /// Bounds grow with the film and end at those for all; ten minutes of an ordinary film, which
    /// take 2,400 CPU seconds on a slow machine, have room to spare.
    #[test]
    fn in_proportion() {
        let of = |width, height, duration| {
            let (facts, plan) = film(width, height, duration);
            of_child(&facts, &plan, 10_000, &limits())
        };
        let small = of(192, 108, 2.0);
        assert!((160..250).contains(&small.cpu_seconds), "{small:?}");
        assert!(small.memory_bytes < (1 << 30) + (32 << 20), "{small:?}");
        let usual = of(1920, 1080, 600.0);
        assert!(usual.cpu_seconds > 10 * 2400 && usual.memory_bytes == 2 << 30, "{usual:?}");
        assert_eq!(of(7680, 4320, 86_400.0).cpu_seconds, limits().cpu_seconds_max);
        let unknown = of(192, 108, f64::NAN).cpu_seconds;
        assert!((120..140).contains(&unknown), "{unknown}");
        // An hour that says that it lasts a second.
        let (facts, plan) = film(1920, 1080, 1.0);
        let lying = of_child(&facts, &plan, 450 << 20, &limits());
        assert!(lying.cpu_seconds > 60 * 60 * 4, "{lying:?}");
    }

    /// A picture may cost what its pixels do, and a moment of a film what going to it does; neither
    /// more than the configuration lets any job.
    #[test]
    fn pictures_in_proportion() {
        let at = |seconds| Task::Poster { of: PosterSource::Time { seconds } };
        let image = Task::Poster { of: PosterSource::Image };
        let cpu =
            |task: &Task, facts, limits: &Limits| of_small(task, facts, limits).cpu_seconds_max;
        assert_eq!(cpu(&image, None, &limits()), 55);
        let modest = Limits { pixels_max: 2_000_000, ..limits() };
        assert_eq!(cpu(&image, None, &modest), 22);
        let (facts, _) = film(1920, 1080, 7200.0);
        let facts = Some(&facts);
        assert_eq!(cpu(&at(0.0), facts, &limits()), 22);
        // Decoding H.264 to the end of the film takes 2,400 CPU seconds.
        assert!((60_000..90_000).contains(&cpu(&at(7200.0), facts, &limits())));
        for of in [at(7200.0), image.clone()] {
            assert_eq!(cpu(&of, facts, &Limits { cpu_seconds_max: 9, ..limits() }), 9);
        }
        assert!(cpu(&at(60.0), None, &limits()) > cpu(&at(60.0), facts, &limits()));
        assert_eq!(cpu(&at(f64::MAX), None, &limits()), limits().cpu_seconds_max);
        assert_eq!(of_small(&Task::Film, facts, &limits()), limits());
        assert!(of_small(&image, None, &limits()).file_bytes_max < limits().file_bytes_max);
    }

    /// What may come out follows the plan, and a copy's source.
    #[test]
    fn output_in_proportion() {
        let (facts, plan) = film(1920, 1080, 600.0);
        let most = of_output(&facts, &plan, 1 << 20);
        // 8.5 Mbit/s of all qualities together for ten minutes are 637.5 MB.
        assert_eq!(most, OUTPUT_BASE + 4 * 637_500_000);
        let copied = vec![RenditionPlan { copied: true, ..plan[0].clone() }];
        assert_eq!(of_output(&facts, &copied, 1 << 30), OUTPUT_BASE + (2 << 30));
    }
}
