/**
 * Server-sent events that are asked for with a token, which an EventSource can't carry. It doesn't
 * try again by itself: who listens does.
 */

import { headersFor } from "./door";

export class TokenStream {
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  readyState: number = EventSource.CONNECTING;
  #listeners = new Map<string, (event: Event) => void>();
  #end = new AbortController();

  constructor(address: string, token = "") {
    void this.#read(address, token);
  }

  addEventListener(type: string, listener: (event: Event) => void): void {
    this.#listeners.set(type, listener);
  }

  close(): void {
    this.readyState = EventSource.CLOSED;
    this.#end.abort();
  }

  async #read(address: string, token: string): Promise<void> {
    try {
      const headers = { Accept: "text/event-stream", ...headersFor(token) };
      const answer = await fetch(address, { headers, signal: this.#end.signal });
      if (!answer.ok || !answer.body) throw new Error(String(answer.status));
      this.readyState = EventSource.OPEN;
      this.onopen?.();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const events = (text + value).split("\n\n");
        text = events.pop() ?? "";
        for (const event of events) this.#tell(event);
      }
    } catch {
      // Refused, or cut: told below.
    }
    if (this.readyState === EventSource.CLOSED) return;
    this.readyState = EventSource.CLOSED;
    this.onerror?.();
  }

  #tell(event: string): void {
    let type = "message";
    const data: string[] = [];
    for (const line of event.split("\n")) {
      if (line.startsWith("event:")) type = line.slice(6).trim();
      else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
    }
    if (data.length === 0) return;
    this.#listeners.get(type)?.(new MessageEvent(type, { data: data.join("\n") }));
  }
}
