//! Chooses the rungs: which sizes and sounds a video is offered in, at which rates, and why. Pure.
//!
//! The child plans with it and the server explains with it, both from the facts of the probe
//! alone; so what is told is what is done. Never larger than the source, always even sizes, at
//! least one rung. A rung is named by its short side, so that films shot upright get the same
//! names as those shot lying.

mod reasons;
mod sound;

use super::rendition::{RenditionKind, RenditionPlan};
use super::video::{CopyVerdict, SourceFacts};

pub use reasons::Reason;
pub use sound::TRACKS_MAX;

/// Frames a second above which frames are dropped (Apple's authoring rules, 1.19).
pub const FRAME_RATE_MAX: f64 = 60.0;

/// Short sides of the ladder in pixels, and the most bits a second at up to 30 frames a second.
///
/// The rates are Apple's for H.264, of the nearest size where there is none of the same one, and
/// above 1080 lines in proportion; below them a constant quality decides.
const RUNGS: [(u32, u64); 8] = [
    (2160, 16_000_000),
    (1440, 9_000_000),
    (1080, 6_000_000),
    (720, 3_000_000),
    (480, 1_400_000),
    (360, 730_000),
    (240, 365_000),
    (SMALLEST, 130_000),
];

/// Made only where a film has nothing else for the slowest networks: its peak stays below the
/// 192 kbit/s that Apple asks of one variant (9.21). A film with sound has its sound alone.
const SMALLEST: u32 = 144;

/// A source this close below a rung's size takes the rung with its own size: 1066 lines are
/// offered as 1080p rather than thrown down to 720p.
const NEAR: f64 = 0.9;

/// A rung that takes no more than this leaves nothing to be saved by a smaller one.
const SMALL_RATE: u64 = 300_000;

/// Video rungs that are made even if the second saves little: players need one to fall back to
/// (9.9).
const RUNGS_MIN: usize = 2;

/// What the ladder has to know of the pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Width of the upright picture with square pixels.
    pub width: u32,
    /// Height of the upright picture with square pixels.
    pub height: u32,
    /// Pictures a second on average.
    pub frame_rate: f64,
}

impl Shape {
    fn of(facts: &SourceFacts) -> Option<Self> {
        let (width, height) = (facts.width, facts.height);
        let is_film = facts.video_codec.is_some() && width > 0 && height > 0;
        is_film.then_some(Self { width, height, frame_rate: facts.frame_rate })
    }

    fn short_side(self) -> u32 {
        self.width.min(self.height)
    }
}

/// What becomes of a rung that was thought of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The source's packets are taken as they are.
    Copied,
    /// It is made.
    Encoded,
    /// It isn't made.
    Dropped,
}

/// One rung that was thought of.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What it is or would be.
    pub plan: RenditionPlan,
    /// What becomes of it.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
}

/// Returns all rungs that were thought of: pictures from the largest down, then sound. `heights`
/// (short sides) replaces the ladder's own choice of pictures.
pub fn choose(facts: &SourceFacts, heights: Option<&[u32]>) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    if let Some(shape) = Shape::of(facts) {
        verdicts = Pictures::new(facts, shape, heights).choose();
    }
    verdicts.extend(sound::choose(facts));
    verdicts
}

/// Returns the plans of the rungs that are made, pictures from the largest down, then sound.
pub fn made(verdicts: &[Verdict]) -> impl Iterator<Item = &RenditionPlan> {
    verdicts.iter().filter(|it| it.decision != Decision::Dropped).map(|it| &it.plan)
}

/// Says whether a copy of the source may be a rung when `heights` are prescribed.
pub fn copy_fits(shape: Shape, heights: Option<&[u32]>) -> bool {
    heights.is_none_or(|heights| heights.contains(&shape.short_side()))
}

struct Pictures<'f> {
    facts: &'f SourceFacts,
    shape: Shape,
    heights: Option<&'f [u32]>,
    copied: bool,
    verdicts: Vec<Verdict>,
}

impl<'f> Pictures<'f> {
    fn new(facts: &'f SourceFacts, shape: Shape, heights: Option<&'f [u32]>) -> Self {
        let copied = facts.copy == Some(CopyVerdict::Fits) && copy_fits(shape, heights);
        Self { facts, shape, heights, copied, verdicts: Vec::new() }
    }

    fn choose(mut self) -> Vec<Verdict> {
        let mut wanted: Vec<u32> = match self.heights {
            Some(heights) => heights.iter().copied().filter(|&height| height > 0).collect(),
            None => RUNGS.iter().map(|&(side, _)| side).collect(),
        };
        wanted.sort_unstable_by(|a, b| b.cmp(a));
        wanted.dedup();
        let mut copy = self.copied.then(|| self.copy());
        for side in wanted {
            // The copy stands where its size belongs.
            if side < self.shape.short_side() {
                self.verdicts.extend(copy.take());
            }
            if side == SMALLEST && self.is_between() {
                let plan = self.rung(self.shape.short_side());
                let (decision, reason) = (Decision::Encoded, self.on_top());
                self.verdicts.push(Verdict { plan, decision, reason });
            }
            if let Some((decision, reason)) = self.judge(side) {
                let plan = self.rung(side);
                self.verdicts.push(Verdict { plan, decision, reason });
            }
        }
        self.verdicts.extend(copy.take());
        if self.made().next().is_none() {
            let plan = self.rung(self.shape.short_side().max(2));
            let reason = Reason::OnlyOne;
            self.verdicts.push(Verdict { plan, decision: Decision::Encoded, reason });
        }
        self.verdicts
    }

    /// Says whether the source lies between the two smallest rungs, and so is its own rung.
    fn is_between(&self) -> bool {
        let own = f64::from(self.shape.short_side());
        self.heights.is_none() && self.made().next().is_none() && own * NEAR > SMALLEST.into()
    }

    fn made(&self) -> impl Iterator<Item = &RenditionPlan> {
        made(&self.verdicts)
    }

    /// Says what becomes of a side; nothing where it isn't worth a word.
    fn judge(&self, side: u32) -> Option<(Decision, Reason)> {
        use Decision::{Dropped, Encoded};
        let own = f64::from(self.shape.short_side());
        if self.copied && side == self.shape.short_side() {
            return None; // It is the copy.
        }
        if f64::from(side) * NEAR > own {
            let lines = self.shape.short_side();
            return self.worth_naming(side).then_some((Dropped, Reason::AboveSource { lines }));
        }
        if self.copied && f64::from(side) >= own * NEAR {
            return Some((Dropped, Reason::NearTheCopy));
        }
        let size = scaled(self.shape, side.min(self.shape.short_side()));
        // Two rungs of one size would be one rung paid twice (900 lines fit 1000 and 900).
        if self.made().any(|rung| (rung.width, rung.height) == size) {
            return Some((Dropped, Reason::SameSize));
        }
        if self.heights.is_some() {
            return Some((Encoded, Reason::Prescribed));
        }
        let above = self.made().last();
        let is_short = self.made().count() < RUNGS_MIN;
        if side == SMALLEST {
            return match above {
                _ if self.facts.audio_codec.is_none() => Some((Encoded, Reason::SlowestNetworks)),
                Some(_) if !is_short => None,
                _ => Some((Encoded, Reason::SecondChoice)),
            };
        }
        if let Some(above) = above.filter(|_| !is_short) {
            let rate = self.expected(above);
            if rate <= SMALL_RATE {
                return Some((Dropped, Reason::SavesNothing { above: above.name.clone(), rate }));
            }
        }
        Some((Encoded, if above.is_none() { self.on_top() } else { Reason::Smaller }))
    }

    /// Says whether a size above the source is near enough that somebody may miss it.
    fn worth_naming(&self, side: u32) -> bool {
        let above =
            |&(rung, _): &(u32, u64)| f64::from(rung) * NEAR > self.shape.short_side().into();
        self.heights.is_some()
            || RUNGS.iter().rfind(|rung| above(rung)).is_some_and(|it| it.0 == side)
    }

    /// Says why the largest rung is encoded rather than copied.
    fn on_top(&self) -> Reason {
        match self.facts.copy {
            Some(verdict) if verdict != CopyVerdict::Fits => Reason::NotCopied(verdict),
            _ => Reason::Largest,
        }
    }

    fn copy(&self) -> Verdict {
        let (shape, side) = (self.shape, self.shape.short_side());
        let rate = [self.facts.video_bit_rate, self.facts.bit_rate, 1].into_iter();
        let rate = rate.into_iter().find(|&rate| rate > 0).unwrap_or(1);
        let plan = RenditionPlan {
            copied: true,
            ..video_plan(shape, side, (shape.width, shape.height), rate)
        };
        Verdict { plan, decision: Decision::Copied, reason: Reason::Copied }
    }

    fn rung(&self, side: u32) -> RenditionPlan {
        let size = scaled(self.shape, side.min(self.shape.short_side()));
        video_plan(self.shape, side, size, rate_cap(side, self.shape.frame_rate))
    }

    /// Returns the bits a second that a rung will probably take: fewer pixels take fewer, though
    /// not in proportion, and never more than the cap.
    fn expected(&self, rung: &RenditionPlan) -> u64 {
        let source = match self.facts.video_bit_rate {
            0 => self.facts.bit_rate,
            known => known,
        };
        if source == 0 || rung.copied {
            return rung.bandwidth_cap;
        }
        let share = pixels(rung.width, rung.height) / pixels(self.shape.width, self.shape.height);
        // Newer codecs say the same with fewer bits than H.264 does.
        let codec = self.facts.video_codec.as_deref().unwrap_or_default();
        let factor = if matches!(codec, "hevc" | "vp9" | "av1") { 1.6 } else { 1.0 };
        let rate = source as f64 * factor * share.powf(0.75);
        (rate as u64).min(rung.bandwidth_cap)
    }
}

fn pixels(width: u32, height: u32) -> f64 {
    f64::from(width) * f64::from(height)
}

fn video_plan(shape: Shape, named: u32, size: (u32, u32), bandwidth_cap: u64) -> RenditionPlan {
    RenditionPlan {
        name: format!("{named}p"),
        kind: RenditionKind::Video,
        width: size.0,
        height: size.1,
        frame_rate: shape.frame_rate.min(FRAME_RATE_MAX),
        bandwidth_cap,
        copied: false,
        language: None,
        sound: None,
    }
}

/// Returns the even size whose short side is `side`, of the source's shape.
fn scaled(shape: Shape, side: u32) -> (u32, u32) {
    let factor = f64::from(side) / f64::from(shape.short_side().max(1));
    let even = |length: u32| (((f64::from(length) * factor / 2.0).round() as u32) * 2).max(2);
    let (mut width, mut height) = (even(shape.width), even(shape.height));
    // Rounding must not lift an odd source above itself.
    if width > shape.width {
        width = (shape.width & !1).max(2);
    }
    if height > shape.height {
        height = (shape.height & !1).max(2);
    }
    (width, height)
}

/// Returns the most bits a second for a short side; between rungs in proportion to the pixels.
fn rate_cap(side: u32, frame_rate: f64) -> u64 {
    let (rung, rate) =
        RUNGS.iter().rev().copied().find(|&(rung, _)| side <= rung).unwrap_or(RUNGS[0]);
    let share = (f64::from(side) / f64::from(rung)).powi(2).clamp(0.25, 1.0);
    // Twice the frames cost about half as much again, because neighbours resemble each other more.
    let motion = if frame_rate > 31.0 && side >= 720 { 1.5 } else { 1.0 };
    (rate as f64 * share * motion) as u64
}

#[cfg(test)]
mod tests;
