//! The sounds: stereo for every track, six channels beside it where the source has them.

use super::{Decision, Reason, Verdict};
use crate::language::UNKNOWN;
use crate::model::rendition::{
    RenditionKind, RenditionPlan, SoundLayout, SoundPurpose, SoundTraits,
};
use crate::model::video::{SoundFacts, SourceFacts};

/// Most tracks of sound that are offered.
pub const TRACKS_MAX: usize = 8;

/// Bits a second that each form takes. Apple asks for 32 to 160 kbit/s of stereo (2.9).
const STEREO_RATE: u64 = 128_000;
const LOW_RATE: u64 = 64_000;
const SURROUND_RATE: u64 = 320_000;

/// A file without pictures that takes no more than this has nothing to save at [`LOW_RATE`].
const LOW_ABOVE: u64 = 96_000;

/// Name of the first rendition of sound; those of the others begin with it.
const NAME: &str = "audio";

pub(super) fn choose(facts: &SourceFacts) -> Vec<Verdict> {
    // What was stored by a program that knew one track only.
    let one = facts.audio_codec.iter().map(|_| SoundFacts {
        language: UNKNOWN.to_owned(),
        label: "Default".to_owned(),
        purpose: SoundPurpose::Main,
        channels: 2,
        copy_rate: None,
    });
    let known = if facts.sounds.is_empty() { one.collect() } else { facts.sounds.clone() };
    let mut verdicts: Vec<Verdict> = Vec::new();
    for (at, track) in known.iter().take(TRACKS_MAX).enumerate() {
        let name = name_of(track, at, &verdicts);
        let mut add = |layout, decision, reason| {
            let mut plan = plan(&name, layout, track, at as u32);
            if let (Decision::Copied, Some(rate)) = (decision, track.copy_rate) {
                (plan.copied, plan.bandwidth_cap) = (true, rate);
            }
            verdicts.push(Verdict { plan, decision, reason });
        };
        let label = track.label.clone();
        if track.copy_rate.is_some() {
            add(SoundLayout::Stereo, Decision::Copied, Reason::SoundCopied { label });
        } else {
            add(SoundLayout::Stereo, Decision::Encoded, Reason::Sound { label });
        }
        if facts.video_codec.is_none() {
            let rate = facts.bit_rate;
            if rate == 0 || rate > LOW_ABOVE {
                add(SoundLayout::Low, Decision::Encoded, Reason::LowSound);
            } else {
                let reason = Reason::LowSoundSavesNothing { rate };
                add(SoundLayout::Low, Decision::Dropped, reason);
            }
        }
        if track.channels >= 6 && track.purpose == SoundPurpose::Main {
            add(SoundLayout::Surround, Decision::Encoded, Reason::Surround);
        }
    }
    verdicts
}

/// Returns the name of a track's stereo rendition: `audio` for the default track, `audio-de` for
/// the first German one beside it, `audio-de-2` for the next.
fn name_of(track: &SoundFacts, at: usize, before: &[Verdict]) -> String {
    if at == 0 {
        return NAME.to_owned();
    }
    let plain = format!("{NAME}-{}", track.language);
    let taken = |name: &String| before.iter().any(|it| it.plan.name == *name);
    let numbered = (2..).map(|number| format!("{plain}-{number}"));
    std::iter::once(plain.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(plain)
}

fn plan(name: &str, layout: SoundLayout, track: &SoundFacts, at: u32) -> RenditionPlan {
    let (suffix, rate) = match layout {
        SoundLayout::Stereo => ("", STEREO_RATE),
        SoundLayout::Low => ("_low", LOW_RATE),
        SoundLayout::Surround => ("_surround", SURROUND_RATE),
    };
    RenditionPlan {
        name: format!("{name}{suffix}"),
        kind: RenditionKind::Audio,
        width: 0,
        height: 0,
        frame_rate: 0.0,
        bandwidth_cap: rate,
        copied: false,
        language: Some(track.language.clone()),
        sound: Some(SoundTraits {
            track: at,
            label: track.label.clone(),
            layout,
            purpose: track.purpose,
        }),
    }
}
