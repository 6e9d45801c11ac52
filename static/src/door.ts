/**
 * Which server the page talks to, and as whom. The server's own pages talk to where they came from,
 * with its cookie; a page of another site names a server, and has a token for it.
 */

/** The page is one of the server's own. */
export const isOurs = document.documentElement.hasAttribute("data-slipway");

class Door {
  /** The server's origin; nothing where it is the page's own. */
  #origin = isOurs ? "" : originOf(import.meta.url);
  #token = "";

  /**
   * Another site's page talks to the server at `endpoint`, or to the one that this script is from. An
   * upload grant does for a token, and may stand in `endpoint`.
   */
  open(endpoint: string | null, token: string | null): void {
    this.#origin = endpoint ? originOf(endpoint) : isOurs ? "" : originOf(import.meta.url);
    this.#token = token || grantIn(endpoint);
  }

  get token(): string {
    return this.#token;
  }

  /** Returns the address of one of the server's paths. */
  url(path: string): string {
    return path.startsWith("/") ? this.#origin + path : path;
  }

  /** Reads the server's JSON; what it tells of media gets whole addresses on another site's page. */
  read(json: string): unknown {
    if (!this.#origin) return JSON.parse(json);
    return JSON.parse(json, (_key, value: unknown) =>
      typeof value === "string" && value.startsWith("/media/") ? this.url(value) : value,
    );
  }

  /** Headers that say who calls. */
  get headers(): Record<string, string> {
    return this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
  }
}

/** Whether a token only plays videos: it is its player's own, and nobody else's on the page. */
export const isPlayback = (token: string) => token.startsWith("slp_");

/** Headers that say who calls, with a token of one's own before the page's. */
export const headersFor = (token: string): Record<string, string> =>
  token ? { Authorization: `Bearer ${token}` } : door.headers;

function originOf(address: string): string {
  try {
    const { origin } = new URL(address, location.href);
    // What comes from a file or a blob has no origin to talk to.
    return origin === "null" || origin === location.origin ? "" : origin;
  } catch {
    return "";
  }
}

/** Returns the upload grant in an address such as `https://videos.example.org/g/slg_…`. */
function grantIn(address: string | null): string {
  return /\/g\/(slg_[\w-]{43})(?:\/|$)/.exec(address ?? "")?.[1] ?? "";
}

export const door = new Door();
