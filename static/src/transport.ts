/**
 * Carries one file to the server by tus 1.0.0, once: whether and when to try again is the
 * queue's business. Chunks grow and shrink with the line, and a silent connection is cut.
 */

import { DetailedError, Upload } from "tus-js-client";
import { Problem, problemFrom } from "./api";
import { ANSWER_MS, STALL_MS, nextChunkBytes, smallerChunkBytes } from "./plan";
import { words } from "./words";

export interface Sending {
  file: File;
  /** Where the upload lives, or null to create one. */
  url: string | null;
  metadata: Record<string, string>;
  chunkBytes: number;
}

export interface Ears {
  /** The upload exists; from now on it can be resumed. */
  onUrl(url: string): void;
  onVideo(videoId: string): void;
  /** Bytes of the file that have left, an estimate that may step back. */
  onSent(bytes: number): void;
  /** Bytes that the server has confirmed. */
  onAccepted(bytes: number): void;
  /** The next chunk will have this size. */
  onChunk(bytes: number): void;
  onDone(): void;
  /** It ended early. Nothing more is said after this. */
  onProblem(problem: Problem): void;
}

const ENDPOINT = "/files";

/** Returns an upload's address without the origin, the form in which it is kept. */
export function pathOf(url: string): string {
  return new URL(url, location.href).pathname;
}

/** Starts sending and returns the function that stops it; after a stop the ears hear nothing. */
export function send(sending: Sending, ears: Ears): () => void {
  const { file } = sending;
  let over = false;
  let chunkBytes = sending.chunkBytes;
  let chunkBegan = performance.now();
  let moved = performance.now();
  let sent = 0;

  const end = () => {
    over = true;
    window.clearInterval(watchdog);
  };
  const fail = (problem: Problem) => {
    if (over) return;
    end();
    void upload.abort();
    ears.onProblem(problem);
  };

  const upload = new Upload(file, {
    // With both an endpoint and an address the library would silently begin anew when the
    // address is gone; the queue decides that.
    ...(sending.url ? { uploadUrl: sending.url } : { endpoint: ENDPOINT }),
    metadata: sending.metadata,
    chunkSize: chunkBytes,
    retryDelays: null,
    storeFingerprintForResuming: false,
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
      sent = bytes;
      ears.onSent(bytes);
    },
    onChunkComplete: (bytes, accepted) => {
      if (over) return;
      const now = performance.now();
      // The last, shorter chunk says little about the line.
      if (bytes >= chunkBytes) {
        chunkBytes = nextChunkBytes(bytes, now - chunkBegan);
        upload.options.chunkSize = chunkBytes;
        ears.onChunk(chunkBytes);
      }
      moved = chunkBegan = now;
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

function problemOf(error: Error | DetailedError): Problem {
  const answer = error instanceof DetailedError ? error.originalResponse : null;
  const status = answer?.getStatus() ?? 0;
  if (!answer || status === 0) {
    return new Problem(0, words.problem.offline, words.problem.offlineDetail);
  }
  return problemFrom(status, answer.getBody(), answer.getHeader("Retry-After") ?? null);
}
