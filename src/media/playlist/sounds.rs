//! The sounds of a video as players choose among them: groups of one form each, with the same
//! tracks in every group (RFC 8216, section 4.3.4.2.1).

use super::{Rate, language, rate};
use crate::model::manifest::Rung;
use crate::model::rendition::{SoundLayout, SoundPurpose};

/// All tracks in one form. A track that hasn't that form is in the group with its stereo.
pub struct Group<'m> {
    /// The form.
    pub layout: SoundLayout,
    /// The tracks, the default one first.
    pub members: Vec<Member<'m>>,
}

/// One track in a group.
pub struct Member<'m> {
    /// What is played.
    pub rung: &'m Rung,
    /// Name for people, unique in the group.
    pub label: String,
    /// It plays unless another one is asked for.
    pub is_default: bool,
}

impl Group<'_> {
    /// Returns the group's name in playlists.
    pub fn name(&self) -> &'static str {
        match self.layout {
            SoundLayout::Stereo => "audio",
            SoundLayout::Low => "low",
            SoundLayout::Surround => "surround",
        }
    }

    /// Returns what the track that takes most takes: one plays at a time (Apple, 9.13).
    pub(super) fn rate(&self) -> Rate {
        let rates = || self.members.iter().map(|member| rate(member.rung));
        Rate {
            peak: rates().map(|rate| rate.peak).max().unwrap_or(0),
            average: rates().map(|rate| rate.average).max().unwrap_or(0),
        }
    }
}

impl Member<'_> {
    /// Returns what the track is for.
    pub fn purpose(&self) -> SoundPurpose {
        self.rung.plan.sound.as_ref().map_or(SoundPurpose::Main, |sound| sound.purpose)
    }

    /// Returns how many channels are played.
    pub fn channels(&self) -> u32 {
        self.rung.plan.layout().channels()
    }
}

/// Sorts rungs of sound into groups. The default track comes first as far as it is there.
pub fn groups<'m>(rungs: &[&'m Rung]) -> Vec<Group<'m>> {
    let mut groups = Vec::new();
    let mut stereo: Vec<&'m Rung> = rungs.to_vec();
    stereo.retain(|rung| rung.plan.layout() == SoundLayout::Stereo);
    stereo.sort_by_key(|rung| rung.plan.sound.as_ref().map_or(0, |sound| sound.track));
    for layout in [SoundLayout::Stereo, SoundLayout::Surround, SoundLayout::Low] {
        if layout != SoundLayout::Stereo && rungs.iter().all(|it| it.plan.layout() != layout) {
            continue;
        }
        let mut members: Vec<Member<'m>> = Vec::new();
        for &rung in &stereo {
            let same = |it: &&&'m Rung| track(it) == track(rung) && it.plan.layout() == layout;
            let played = rungs.iter().find(same).copied().unwrap_or(rung);
            let label = label(rung, &members);
            members.push(Member { rung: played, label, is_default: members.is_empty() });
        }
        if !members.is_empty() {
            groups.push(Group { layout, members });
        }
    }
    groups
}

/// Returns rungs of sound by track and number of channels: those within one differ by rate alone.
pub fn forms<'m>(rungs: &[&'m Rung]) -> Vec<Vec<&'m Rung>> {
    let mut forms: Vec<Vec<&'m Rung>> = Vec::new();
    let mut rungs = rungs.to_vec();
    rungs.sort_by_key(|rung| rung.plan.sound.as_ref().map(|sound| (sound.track, sound.layout)));
    for rung in rungs {
        let channels = |it: &Rung| it.plan.layout().channels();
        let same = |it: &Rung| track(it) == track(rung) && channels(it) == channels(rung);
        match forms.iter_mut().find(|form| form.first().is_some_and(|it| same(it))) {
            Some(form) => form.push(rung),
            None => forms.push(vec![rung]),
        }
    }
    forms
}

/// Rungs of one track have one number; an older program made one rung of each and no number.
fn track(rung: &Rung) -> Result<u32, &str> {
    rung.plan.sound.as_ref().map(|sound| sound.track).ok_or(rung.plan.name.as_str())
}

/// Names must differ within a group, even where an older program made two tracks of one language.
fn label(rung: &Rung, before: &[Member<'_>]) -> String {
    let plain = match (&rung.plan.sound, language(rung)) {
        (Some(sound), _) => sound.label.clone(),
        (None, "und") => "Default".to_owned(),
        (None, language) => language.to_owned(),
    };
    if before.iter().any(|member| member.label == plain) {
        return format!("{plain} ({})", rung.plan.name);
    }
    plain
}
