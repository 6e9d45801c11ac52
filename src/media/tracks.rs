//! Which of a container's sound tracks are used: one of each language, and those beside it that
//! the file itself tells apart.

use super::source::{Track, is_sound, track};
use crate::language;
use crate::model::ladder::TRACKS_MAX;
use crate::model::rendition::SoundPurpose;
use crate::model::video::SoundFacts;
use ffmpeg_next::format::context::Input;
use ffmpeg_next::format::stream::{Disposition, Stream};
use ffmpeg_next::media;

/// Longest label of a track in characters; it is shown in a menu.
const LABEL_CHARS_MAX: usize = 60;

/// The sound of a source.
#[derive(Default)]
pub struct SoundTracks {
    /// The tracks, the default one first.
    pub tracks: Vec<Track>,
    /// What there is to say of each of them.
    pub facts: Vec<SoundFacts>,
    /// Sound is there, and none of it can be read.
    pub unreadable: bool,
}

/// A readable track and by what it differs from others.
struct Candidate {
    track: Track,
    is_default: bool,
    language: String,
    purpose: SoundPurpose,
    title: String,
}

/// Chooses the sound tracks.
pub fn choose_sounds(input: &Input) -> SoundTracks {
    let sounds: Vec<Stream<'_>> = input
        .streams()
        .filter(|stream| stream.parameters().medium() == media::Type::Audio)
        .collect();
    let readable = sounds.iter().filter(|stream| is_sound(stream.parameters().id()));
    let candidates = readable.map(candidate).filter(|it| it.track.facts.sample_rate > 0);
    let chosen = choose(candidates.collect());
    let unreadable = chosen.is_empty() && !sounds.is_empty();
    let mut facts: Vec<SoundFacts> = Vec::new();
    for candidate in &chosen {
        let label = label(candidate, &facts);
        facts.push(SoundFacts {
            language: candidate.language.clone(),
            label,
            purpose: candidate.purpose,
            channels: candidate.track.facts.channels,
            copy_rate: None,
        });
    }
    SoundTracks { tracks: chosen.into_iter().map(|it| it.track).collect(), facts, unreadable }
}

fn candidate(stream: &Stream<'_>) -> Candidate {
    let metadata = stream.metadata();
    let title = cleaned(metadata.get("title").unwrap_or_default());
    Candidate {
        track: track(stream),
        is_default: stream.disposition().contains(Disposition::DEFAULT),
        language: language::of_word(metadata.get("language")),
        purpose: purpose(stream.disposition(), &title),
        title,
    }
}

/// Keeps what can be told apart, the default first, at most [`TRACKS_MAX`].
fn choose(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    // Stable: tracks keep their order otherwise. A track about the film isn't the film's own,
    // whatever the container says.
    candidates.sort_by_key(|it| (it.purpose != SoundPurpose::Main, !it.is_default));
    if let Some(first) = candidates.first().map(|it| it.track.index) {
        candidates.sort_by_key(|it| (it.track.index != first, it.track.index));
    }
    let mut chosen: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        let same = |other: &&mut Candidate| {
            (other.purpose, &other.language) == (candidate.purpose, &candidate.language)
                && other.title.to_lowercase() == candidate.title.to_lowercase()
        };
        match chosen.iter_mut().find(same) {
            // The same in six channels holds all that the one in two does.
            Some(other)
                if other.track.facts.channels < 6 && candidate.track.facts.channels >= 6 =>
            {
                *other = candidate;
            }
            Some(_) => {}
            None => chosen.push(candidate),
        }
    }
    chosen.truncate(TRACKS_MAX);
    chosen
}

fn purpose(disposition: Disposition, title: &str) -> SoundPurpose {
    let title = title.to_lowercase();
    if disposition.contains(Disposition::COMMENT) || title.contains("commentary") {
        SoundPurpose::Commentary
    } else if disposition.contains(Disposition::VISUAL_IMPAIRED)
        || title.contains("audio description")
        || title.contains("descriptive")
    {
        SoundPurpose::Description
    } else if disposition.contains(Disposition::HEARING_IMPAIRED) {
        SoundPurpose::Clear
    } else {
        SoundPurpose::Main
    }
}

/// Returns text of the file as it may stand in a menu.
fn cleaned(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|w| !w.is_empty())
        .collect();
    words.join(" ").chars().take(LABEL_CHARS_MAX).collect()
}

fn label(candidate: &Candidate, before: &[SoundFacts]) -> String {
    let language = match candidate.language.as_str() {
        language::UNKNOWN => "Default".to_owned(),
        tag => language::name(tag),
    };
    let plain = match candidate.purpose {
        _ if !candidate.title.is_empty() => candidate.title.clone(),
        SoundPurpose::Main => language.clone(),
        SoundPurpose::Commentary => format!("{language} (commentary)"),
        SoundPurpose::Description => format!("{language} (audio description)"),
        SoundPurpose::Clear => format!("{language} (clear speech)"),
    };
    // One title on tracks of two languages is told apart by the language, or else by a number.
    let told = format!("{plain} ({language})");
    let numbered = (2..).map(|number| format!("{plain} {number}"));
    let taken = |label: &String| before.iter().any(|it| it.label == *label);
    [plain.clone(), told].into_iter().chain(numbered).find(|it| !taken(it)).unwrap_or(plain)
}
