//! The ladder as it would be chosen now, in words: `GET /api/videos/{id}/recommendations`.

use super::problem::{Code, Problem};
use crate::model::ladder::{Decision, Verdict, choose};
use crate::model::rendition::RenditionKind;
use crate::state::VideoRecord;
use serde::Serialize;
use utoipa::ToSchema;

/// What would be made of a video, and why.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Recommendations {
    video_id: String,
    /// The setting `media.ladder`.
    ladder: Ladder,
    rungs: Vec<RungView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Ladder {
    Auto(&'static str),
    Heights(Vec<u32>),
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Rung)]
struct RungView {
    name: String,
    kind: RenditionKind,
    width: u32,
    height: u32,
    language: Option<String>,
    channels: Option<u32>,
    /// The most bits a second.
    max_bit_rate: u64,
    decision: &'static str,
    reason: String,
    /// The video has it, or will have it.
    planned: bool,
}

impl Recommendations {
    /// Chooses from what is stored of a video.
    ///
    /// # Errors
    /// 409 until somebody has looked into the file.
    pub(super) fn of(
        video: &VideoRecord,
        heights: Option<&[u32]>,
        equally_loud: bool,
    ) -> Result<Self, Problem> {
        let Some(facts) = &video.facts else {
            let detail = "What is made of a video is known once its file has been looked into.";
            return Err(Problem::new(Code::Conflict, detail));
        };
        let rungs = choose(&facts.heard(equally_loud), heights);
        Ok(Self {
            video_id: video.id.to_string(),
            ladder: heights.map_or(Ladder::Auto("auto"), |list| Ladder::Heights(list.to_vec())),
            rungs: rungs.iter().map(|verdict| RungView::of(verdict, video)).collect(),
        })
    }
}

impl RungView {
    fn of(verdict: &Verdict, video: &VideoRecord) -> Self {
        let plan = &verdict.plan;
        Self {
            name: plan.name.clone(),
            kind: plan.kind,
            width: plan.width,
            height: plan.height,
            language: plan.language.clone(),
            channels: (plan.kind == RenditionKind::Audio).then(|| plan.layout().channels()),
            max_bit_rate: plan.bandwidth_cap,
            decision: match verdict.decision {
                Decision::Copied => "copied",
                Decision::Encoded => "encoded",
                Decision::Dropped => "dropped",
            },
            reason: verdict.reason.words(),
            planned: video.renditions.iter().any(|it| it.plan.name == plan.name),
        }
    }
}
