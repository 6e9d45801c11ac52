/** What a report of progress means for the description of a video that a page already has. */

import type { Processing, Video } from "./api";

/** A report between two full descriptions: one stage's own share, and that of each quality. */
export interface Report {
  stage?: string;
  progress?: number;
  speed?: number | null;
  etaSeconds?: number | null;
  renditions?: { name: string; progress: number }[];
}

/** Returns the video as it stands after a report. Stages before the reported one are done. */
export function withReport(video: Video, report: Report): Video {
  const { processing } = video;
  if (!processing || !report.stage) return video;
  const at = processing.stages.findIndex((stage) => stage.name === report.stage);
  const stages = processing.stages.map((stage, index) => {
    if (index === at)
      return { ...stage, state: "running" as const, progress: report.progress ?? 0 };
    const over = index < at && (stage.state === "running" || stage.state === "pending");
    return over ? { ...stage, state: "done" as const, progress: 1 } : stage;
  });
  const shares = new Map(report.renditions?.map((one) => [one.name, one.progress]));
  const renditions = video.renditions?.map((one) => {
    const share = shares.get(one.name);
    if (share === undefined || one.state === "ready" || one.state === "failed") return one;
    return { ...one, progress: share, state: share > 0 ? ("running" as const) : one.state };
  });
  // A report from the work itself says that the wait is over.
  const state = video.state === "queued" ? ("processing" as const) : video.state;
  return {
    ...video,
    state,
    ...(renditions ? { renditions } : {}),
    processing: {
      ...processing,
      state,
      stages,
      speed: report.speed ?? null,
      etaSeconds: report.etaSeconds ?? null,
    },
  };
}

/** Returns the share (0..1) of the work that takes the time: making the qualities. */
export function shareOf(processing: Processing | null | undefined): number {
  const qualities = processing?.stages.find((stage) => stage.name === "renditions");
  if (!processing || !qualities) return processing?.progress ?? 0;
  if (qualities.state === "running") return qualities.progress ?? 0;
  return qualities.state === "pending" ? 0 : processing.progress;
}
