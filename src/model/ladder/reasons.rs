//! Why a rung is made or not, in words for the person who uploaded the film.

use crate::model::video::CopyVerdict;

/// Why a rung was taken, copied or dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The source's own pictures.
    Copied,
    /// The largest rung, which has to be encoded.
    NotCopied(CopyVerdict),
    /// The largest rung; whether it could be copied isn't known.
    Largest,
    /// A smaller one for slower networks.
    Smaller,
    /// There would be one quality only without it.
    SecondChoice,
    /// Nothing else fits into the slowest networks.
    SlowestNetworks,
    /// The source is smaller than the smallest rung.
    OnlyOne,
    /// The configuration names it.
    Prescribed,
    /// The source has fewer lines.
    AboveSource {
        /// How many it has.
        lines: u32,
    },
    /// Nearly the size of the copy.
    NearTheCopy,
    /// The size of another rung.
    SameSize,
    /// The rung above is small enough for everybody.
    SavesNothing {
        /// That rung.
        above: String,
        /// What it will take, in bits a second.
        rate: u64,
    },
    /// A track of sound.
    Sound {
        /// What it is called.
        label: String,
    },
    /// A track of sound that is published as it is.
    SoundCopied {
        /// What it is called.
        label: String,
    },
    /// All six channels beside the two.
    Surround,
    /// Sound for slow networks.
    LowSound,
    /// The source's sound takes little already.
    LowSoundSavesNothing {
        /// What it takes, in bits a second.
        rate: u64,
    },
}

impl Reason {
    /// Returns a sentence or two.
    pub fn words(&self) -> String {
        match self {
            Self::Copied => "The file's own pictures play everywhere, so they are taken as they \
                             are: nothing is lost, and it is ready at once."
                .to_owned(),
            Self::NotCopied(verdict) => {
                format!("The largest size. It is encoded anew: {}.", verdict_words(*verdict))
            }
            Self::Largest => "The largest size, that of the file itself.".to_owned(),
            Self::Smaller => "A smaller size, for slower networks and smaller screens.".to_owned(),
            Self::SecondChoice => {
                "A second size, so that players have one to fall back to.".to_owned()
            }
            Self::SlowestNetworks => "The film has no sound that could be played alone, so this \
                                      size is for the slowest mobile networks."
                .to_owned(),
            Self::OnlyOne => {
                "The film is so small that there is one size only: its own.".to_owned()
            }
            Self::Prescribed => "The server's setting `media.ladder` asks for it.".to_owned(),
            Self::AboveSource { lines } => format!(
                "The film has {lines} lines. Making it larger would cost bytes and show no more."
            ),
            Self::NearTheCopy => {
                "Nearly the size of the film itself, which is offered already.".to_owned()
            }
            Self::SameSize => "It would have the size of another one.".to_owned(),
            Self::SavesNothing { above, rate } => format!(
                "{above} will take only about {} kbit/s; a smaller size would save next to \
                 nothing.",
                kilobits(*rate)
            ),
            Self::Sound { label } => format!("The sound track “{label}”, in stereo."),
            Self::SoundCopied { label } => format!(
                "The sound track “{label}” plays everywhere, so it is taken as it is: nothing is \
                 lost."
            ),
            Self::Surround => "All six channels of this track, for those who can play them; \
                               everybody else gets the stereo one."
                .to_owned(),
            Self::LowSound => "The same sound at a lower rate, for slow networks.".to_owned(),
            Self::LowSoundSavesNothing { rate } => format!(
                "The file takes only {} kbit/s; a lower rate would save next to nothing.",
                kilobits(*rate)
            ),
        }
    }
}

fn kilobits(rate: u64) -> u64 {
    rate.div_ceil(1000)
}

fn verdict_words(verdict: CopyVerdict) -> &'static str {
    match verdict {
        CopyVerdict::Fits => "the server's settings want other sizes",
        CopyVerdict::Container => "pictures can't be taken out of this kind of file as they are",
        CopyVerdict::Codec => "the file isn't in H.264, the one format that plays everywhere",
        CopyVerdict::Profile => "it is H.264 of a kind that many players don't take",
        CopyVerdict::HighDynamicRange => "its colours are brought down to what all screens show",
        CopyVerdict::Interlaced => "its pictures come in half-pictures, which are put together",
        CopyVerdict::Turned => "it lies on its side or is mirrored, and is set upright",
        CopyVerdict::Shape => "its pixels aren't square, or its sides are odd numbers",
        CopyVerdict::FrameRate => "its pictures come too fast or too irregularly",
        CopyVerdict::KeyFrames => {
            "players could only start and switch at places that are too far apart"
        }
        CopyVerdict::LongerSound => {
            "its sound lasts longer than its pictures, of which one is held"
        }
    }
}
