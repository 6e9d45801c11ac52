/**
 * What the server tells while it happens, over a WebSocket; where one can't be opened (a proxy
 * without them, a browser whose policy doesn't allow it), over server-sent events.
 *
 * A hidden page lets go of its line, as those of `events.ts` do. Whoever comes back names the last
 * event that it had, and is told what it missed.
 */

import { Events, type ServerEvent } from "../events";

/** How the page is connected. */
export type Line = "socket" | "stream" | "down";

export interface Listener {
  onEvent(event: ServerEvent): void;
  onLine(line: Line): void;
}

const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 30_000;

export class Live {
  #socket: WebSocket | null = null;
  #events: Events | null = null;
  #lastId: number | null = null;
  #failures = 0;
  #timer = 0;
  /** A socket was open once, so that its end is one of the line and not of the way. */
  #works = false;

  constructor(private readonly listener: Listener) {
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") this.#shut();
      else if (!this.#socket) this.#open();
    });
    window.addEventListener("pagehide", () => this.#shut());
    this.#open();
  }

  #shut(): void {
    window.clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #open(): void {
    if (this.#events || document.visibilityState === "hidden") return;
    const url = new URL("/api/ws", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    if (this.#lastId !== null) url.searchParams.set("lastEventId", String(this.#lastId));
    let socket: WebSocket;
    try {
      socket = new WebSocket(url);
    } catch {
      this.#fallBack();
      return;
    }
    this.#socket = socket;
    socket.onopen = () => {
      this.#works = true;
      this.#failures = 0;
      this.listener.onLine("socket");
    };
    socket.onmessage = (message) => this.#heard(String(message.data));
    socket.onclose = () => {
      if (socket !== this.#socket) return;
      this.#socket = null;
      if (!this.#works) {
        this.#fallBack();
        return;
      }
      this.listener.onLine("down");
      const wait = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** this.#failures);
      this.#failures += 1;
      this.#timer = window.setTimeout(() => this.#open(), wait * (0.5 + Math.random() / 2));
    };
  }

  #heard(data: string): void {
    try {
      const event = JSON.parse(data) as ServerEvent & { id?: number };
      if (typeof event.id === "number") this.#lastId = event.id;
      this.listener.onEvent(event);
    } catch {
      // Cut off: the next look at the state makes up for it.
    }
  }

  #fallBack(): void {
    this.#events = new Events({
      onEvent: (event) => this.listener.onEvent(event),
      onOpen: () => this.listener.onLine("stream"),
      onDown: () => this.listener.onLine("down"),
    });
  }
}
