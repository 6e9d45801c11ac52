/** Carries one file to the server by tus 1.0.0, in order; a silent connection is cut. */

import { DetailedError, Upload } from "tus-js-client";
import { Problem, problemFrom } from "./api";
import { door } from "./door";
import { line, type Member } from "./line";
import { ANSWER_MS, STALL_MS, isCut, nextChunkBytes, smallerChunkBytes } from "./plan";
import { pathOf } from "./resume";
import { sumOfPiece } from "./sums";
import type { Ears, Sending } from "./transport";
import { words } from "./words";

const ENDPOINT = "/files";

/** As `send` of the transport. Chunks grow and shrink with the line. */
export function sendByTus(sending: Sending, ears: Ears): () => void {
  const { file } = sending;
  // One request at a time: a larger share of the line is of no use.
  const member: Member = { onShare: () => undefined };
  line.join(member);
  let over = false;
  let chunkBytes = Math.min(sending.chunkBytes, line.bodyBytesMax);
  let chunkBegan = performance.now();
  let moved = performance.now();
  let sent = 0;

  const end = () => {
    over = true;
    line.leave(member);
    window.clearInterval(watchdog);
  };
  const fail = (problem: Problem) => {
    if (over) return;
    end();
    // What didn't get through in time may, if it is less.
    if (isCut(problem.status)) ears.onChunk(smallerChunkBytes(chunkBytes) ?? chunkBytes);
    void upload.abort();
    ears.onProblem(problem, 0);
  };

  const upload = new Upload(file, {
    // With both an endpoint and an address the library would silently begin anew when the
    // address is gone; the queue decides that.
    ...(sending.url ? { uploadUrl: door.url(sending.url) } : { endpoint: door.url(ENDPOINT) }),
    headers: door.headers,
    metadata: {
      ...metadataOf(sending.about),
      filename: file.name,
      ...(file.type ? { filetype: file.type } : {}),
      // Lets another browser of the same person tell whether it holds the same file.
      mark: sending.mark,
    },
    chunkSize: chunkBytes,
    retryDelays: null,
    storeFingerprintForResuming: false,
    onBeforeRequest: async (request) => {
      if (request.getMethod() !== "PATCH") return;
      const at = Number(request.getHeader("Upload-Offset"));
      const sum = await sumOfPiece(file.slice(at, at + chunkBytes));
      if (sum) request.setHeader("Upload-Checksum", `sha256 ${inBase64(sum)}`);
    },
    onUploadUrlAvailable: () => {
      moved = chunkBegan = performance.now();
      if (!over && upload.url) ears.onUrl(pathOf(upload.url));
    },
    onAfterResponse: (_request, response) => {
      moved = performance.now();
      const videoId = response.getHeader("Slipway-Video");
      if (!over && videoId) ears.onVideo(videoId);
    },
    onProgress: (bytes) => {
      if (over) return;
      if (bytes !== sent) moved = performance.now();
      // What was there before hasn't gone over the line now.
      if (bytes > sent && (sent > 0 || !sending.url)) line.moved(bytes - sent);
      sent = bytes;
      ears.onSent(bytes);
    },
    onChunkComplete: (bytes, accepted) => {
      if (over) return;
      const now = performance.now();
      // The last, shorter chunk says little about the line.
      if (bytes >= chunkBytes) {
        chunkBytes = Math.min(nextChunkBytes(bytes, now - chunkBegan), line.bodyBytesMax);
        upload.options.chunkSize = chunkBytes;
        ears.onChunk(chunkBytes);
      }
      moved = chunkBegan = now;
      line.acknowledged();
      ears.onAccepted(accepted);
    },
    onSuccess: () => {
      if (over) return;
      end();
      ears.onDone();
    },
    onError: (error) => {
      const problem = problemOf(error);
      const smaller = problem.status === 413 && upload.url ? smallerChunkBytes(chunkBytes) : null;
      if (over || smaller === null) return fail(problem);
      // Not the server but something in front of it minds the size of one request.
      if (problem.code === "") line.refused(chunkBytes, true);
      ears.onChunk(smaller);
      fail(new Problem(413, problem.title, problem.detail, problem.code, true, 0));
    },
  });

  const watchdog = window.setInterval(() => {
    const patience = sent >= file.size ? ANSWER_MS : STALL_MS;
    if (performance.now() - moved > patience) {
      fail(new Problem(0, words.problem.stalled, words.problem.stalledDetail));
    }
  }, 1_000);

  upload.start();
  return () => {
    if (over) return;
    end();
    void upload.abort();
  };
}

function metadataOf({ tags, ...about }: Sending["about"]): Record<string, string> {
  return { ...about, ...(tags ? { tags: tags.join(",") } : {}) };
}

function inBase64(hex: string): string {
  const bytes = hex.match(/../g) ?? [];
  return btoa(String.fromCharCode(...bytes.map((byte) => Number.parseInt(byte, 16))));
}

function problemOf(error: Error | DetailedError): Problem {
  const answer = error instanceof DetailedError ? error.originalResponse : null;
  const status = answer?.getStatus() ?? 0;
  if (!answer || status === 0) {
    return new Problem(0, words.problem.offline, words.problem.offlineDetail);
  }
  return problemFrom(status, answer.getBody(), answer.getHeader("Retry-After") ?? null);
}
