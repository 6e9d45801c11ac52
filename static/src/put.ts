/** One request that carries bytes, watched: XMLHttpRequest, for fetch doesn't tell of progress. */

import { Problem, problemFrom } from "./api";
import { door } from "./door";
import { ANSWER_MS, QUIET_MS, STALL_MS } from "./plan";
import { words } from "./words";

export interface Put {
  /** Resolves to the answer's text; rejects with a `Problem`, and never after `stop`. */
  readonly answer: Promise<string>;
  /** Bytes that have left so far. */
  readonly sent: number;
  /** There are more, and none has left for a while. */
  readonly isQuiet: boolean;
  stop(): void;
}

/**
 * Sends `body` as soon as its `sum` is known, which goes with it; `onMoved` hears of the bytes that
 * have left since it last did, and of none now and then while it is quiet.
 */
export function put(
  path: string,
  body: Blob,
  sum: Promise<string | null>,
  onMoved: (bytes: number) => void,
): Put {
  const request = new XMLHttpRequest();
  let moved = performance.now();
  let sent = 0;
  let isOver = false;
  let stop = () => {};
  const isQuiet = () => sent < body.size && performance.now() - moved > QUIET_MS;
  const answer = new Promise<string>((resolve, reject) => {
    const end = () => {
      isOver = true;
      window.clearInterval(watchdog);
      request.onload = request.onerror = request.upload.onprogress = null;
    };
    const fail = (problem: Problem) => {
      end();
      request.abort();
      reject(problem);
    };
    stop = () => {
      end();
      request.abort();
    };
    const watchdog = window.setInterval(() => {
      const patience = sent >= body.size ? ANSWER_MS : STALL_MS;
      if (performance.now() - moved > patience) {
        fail(new Problem(0, words.problem.stalled, words.problem.stalledDetail));
      } else if (isQuiet()) onMoved(0);
    }, 1_000);
    request.upload.onprogress = ({ loaded }) => {
      if (loaded <= sent) return;
      moved = performance.now();
      const bytes = loaded - sent;
      sent = loaded;
      onMoved(bytes);
    };
    request.onerror = () => {
      fail(new Problem(0, words.problem.offline, words.problem.offlineDetail));
    };
    request.onload = () => {
      const { status, responseText } = request;
      if (status < 200 || status > 299) {
        fail(problemFrom(status, responseText, request.getResponseHeader("Retry-After")));
        return;
      }
      end();
      resolve(responseText);
    };
  });
  void sum.then((sum) => {
    if (isOver) return;
    moved = performance.now();
    request.open("PUT", door.url(path));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    // The server compares, and keeps nothing of a piece that isn't what was read here.
    if (sum) request.setRequestHeader("X-Chunk-Sha256", sum);
    for (const [name, value] of Object.entries(door.headers)) request.setRequestHeader(name, value);
    request.send(body);
  });
  return {
    answer,
    get sent() {
      return sent;
    },
    get isQuiet() {
      return isQuiet();
    },
    stop: () => stop(),
  };
}
