/** `<slipway-docs>`: every address of the API, what it takes and gives, and the codes of errors. */

import * as api from "./api";
import {
  access,
  type Document,
  members,
  type Operation,
  type Parameter,
  type Place,
  references,
  type Schema,
  typeWords,
  under,
} from "./document";
import { facts, list } from "./units";
import { h, icon, problemNotice, show, text } from "./view";
import { words } from "./words";

const w = words.docs;

export class SlipwayDocs extends HTMLElement {
  readonly #found = h("p", { class: "unseen", role: "status", "aria-live": "polite" });
  readonly #none = h("p", { class: "muted", hidden: true }, w.nothing);

  connectedCallback(): void {
    this.replaceChildren(h("p", { class: "muted", role: "status" }, w.loading));
    api.openApi().then(
      (document) => this.#draw(document),
      (problem) =>
        this.replaceChildren(problemNotice(problem, () => this.connectedCallback())),
    );
  }

  #draw(document: Document): void {
    const sections = document.tags
      .map((tag) => ({ tag, places: under(document, tag.name) }))
      .filter(({ places }) => places.length > 0);
    const field = h("input", { type: "search", placeholder: w.search, "aria-label": w.search });
    field.addEventListener("input", () => this.#filter(field.value));
    const contents = [...sections.map(({ tag }) => tag.name), "types", "errors"];
    this.replaceChildren(
      h(
        "div",
        { class: "page-head" },
        h("h1", {}, w.title),
        h("a", { class: "button", href: "/openapi.json" }, icon("code"), w.raw),
      ),
      h("p", { class: "docs-lead muted" }, document.info.description),
      h(
        "div",
        { class: "docs" },
        h(
          "nav",
          { class: "docs-nav", "aria-label": w.contents },
          h("label", { class: "search" }, icon("search"), field),
          h(
            "ul",
            {},
            ...contents.map((name) =>
              h("li", {}, h("a", { href: `#${name}` }, w.headings[name] ?? name)),
            ),
          ),
        ),
        h(
          "div",
          { class: "docs-body" },
          this.#found,
          this.#none,
          ...sections.map(({ tag, places }) =>
            section(tag.name, tag.description, ...places.map((place) => entry(document, place))),
          ),
          section("types", w.typesLead, ...types(document)),
          section("errors", w.errorsLead, codes(document)),
        ),
      ),
    );
    const reveal = () => this.#reveal();
    window.addEventListener("hashchange", reveal);
    reveal();
  }

  /** Opens what the address names, so that links to an operation or a type lead somewhere. */
  #reveal(): void {
    const name = decodeURIComponent(location.hash.slice(1));
    const target = name ? document.getElementById(name) : null;
    if (target instanceof HTMLDetailsElement) target.open = true;
    target?.scrollIntoView();
  }

  /** Shows only what has all of these words. */
  #filter(wanted: string): void {
    const parts = wanted.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const part of this.querySelectorAll<HTMLElement>(".docs-section")) {
      let any = false;
      for (const item of part.querySelectorAll<HTMLElement>("[data-said]")) {
        const fits = parts.every((word) => item.dataset.said?.includes(word));
        show(item, fits);
        any ||= fits;
        count += fits ? 1 : 0;
      }
      show(part, any);
    }
    show(this.#none, count === 0);
    text(this.#found, parts.length > 0 ? w.found(count) : "");
  }
}

function section(name: string, about: string | undefined, ...inside: Node[]): HTMLElement {
  return h(
    "section",
    { class: "docs-section", id: name, "aria-label": w.headings[name] ?? name },
    h("h2", {}, w.headings[name] ?? name),
    about ? h("p", { class: "muted" }, ...marked(about)) : null,
    ...inside,
  );
}

function entry(document: Document, { method, path, operation }: Place): HTMLElement {
  const who = access(operation);
  const summary = operation.summary ?? "";
  const said = [method, path, summary, operation.description ?? "", operation.operationId];
  return h(
    "details",
    { class: "docs-entry", id: operation.operationId, "data-said": said.join(" ").toLowerCase() },
    h(
      "summary",
      {},
      h("span", { class: "method", "data-method": method }, method.toUpperCase()),
      h("code", { class: "docs-path" }, ...breakable(path)),
      h("span", { class: "docs-summary" }, ...marked(summary)),
    ),
    h(
      "div",
      { class: "docs-inside" },
      operation.description ? h("p", {}, ...marked(operation.description)) : null,
      h("p", { class: "muted small" }, `${w.access[who]} `, h("code", {}, operation.operationId)),
      operation.parameters ? parameters(operation.parameters) : null,
      ...bodies(document, operation),
    ),
  );
}

function parameters(all: Parameter[]): HTMLElement {
  const order = ["path", "query", "header"];
  const sorted = [...all].sort((a, b) => order.indexOf(a.in) - order.indexOf(b.in));
  return block(
    w.parameters,
    table(
      [w.name, w.where, w.type, w.meaning],
      sorted.map((it) => [
        name(it.name, it.required ?? false),
        w.places[it.in] ?? it.in,
        typeLink(it.schema),
        h("span", {}, ...marked(it.description ?? "")),
      ]),
    ),
  );
}

function bodies(document: Document, operation: Operation): HTMLElement[] {
  const sent = Object.entries(operation.requestBody?.content ?? {}).map(([kind, { schema }]) =>
    block(w.body(kind), shape(document, schema)),
  );
  const answers = Object.entries(operation.responses ?? {})
    .filter(([status]) => status !== "default")
    .flatMap(([status, { description, content, headers }]) => {
      const names = Object.keys(headers ?? {});
      const told = names.length > 0 ? h("p", { class: "small code-list" }, w.headers, ...names.map((it) => h("code", {}, it))) : null;
      const kinds = Object.entries(content ?? {});
      const lead = h("p", { class: "muted small" }, description ?? "");
      if (kinds.length === 0) return [block(w.answer(status), lead, told)];
      return kinds.map(([kind, { schema }]) =>
        block(w.answer(facts(status, kind)), lead, told, shape(document, schema)),
      );
    });
  return [...sent, ...answers];
}

/** Draws what a type holds; the types inside are links. */
function shape(document: Document, schema: Schema | undefined): HTMLElement | null {
  if (!schema) return null;
  const inside = members(document, schema);
  const type = h("p", { class: "small" }, typeLink(schema));
  if (inside.length === 0) return type;
  const rows = inside.map(([key, member, required]) => [
    name(key, required),
    typeLink(member),
    h("span", {}, ...marked(member.description ?? "")),
  ]);
  return h("div", {}, type, table([w.name, w.type, w.meaning], rows));
}

function types(document: Document): HTMLElement[] {
  return Object.entries(document.components.schemas)
    .filter(([type]) => type !== "ErrorCode")
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([type, schema]) => {
      const about = schema.description ?? "";
      return h(
        "details",
        {
          class: "docs-entry",
          id: `type-${type}`,
          "data-said": `${type} ${about} ${Object.keys(schema.properties ?? {}).join(" ")}`.toLowerCase(),
        },
        h(
          "summary",
          {},
          h("code", { class: "docs-path" }, type),
          h("span", { class: "docs-summary" }, ...marked(about)),
        ),
        h(
          "div",
          { class: "docs-inside" },
          schema.enum ? h("p", {}, codeList(schema.enum)) : null,
          shape(document, schema),
        ),
      );
    });
}

function codes(document: Document): HTMLElement {
  const all = document.components.schemas.ErrorCode?.["x-codes"] ?? [];
  const box = table(
    [w.code, w.status, w.meaning],
    all.map((it) => [
      h("code", {}, it.code),
      String(it.status),
      h("span", {}, h("strong", {}, it.title), h("br"), ...marked(it.description)),
    ]),
  );
  all.forEach((it, index) => {
    const row = box.querySelectorAll("tbody tr")[index];
    row?.setAttribute("data-said", `${it.code} ${it.status} ${it.title}`.toLowerCase());
  });
  return box;
}

function block(title: string, ...inside: (Node | null)[]): HTMLElement {
  return h("div", { class: "docs-block" }, h("h3", {}, title), ...inside);
}

/** Draws a table; a column in which nothing stands is left out. */
function table(allHeads: string[], allRows: (Node | string)[][]): HTMLElement {
  const said = (cell: Node | string | undefined) =>
    typeof cell === "string" ? cell !== "" : !!cell?.textContent;
  const used = (_: unknown, column: number) => allRows.some((row) => said(row[column]));
  const heads = allHeads.filter(used);
  const rows = allRows.map((row) => row.filter(used));
  return h(
    "div",
    { class: "table-box", tabindex: 0, role: "region", "aria-label": list(heads) },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((cell) => h("td", {}, cell))))),
    ),
  );
}

/** Draws a name; one that has to be there is marked, in words too. */
function name(said: string, required: boolean): HTMLElement {
  const mark = required ? h("span", { class: "muted small" }, ` ${w.required}`) : null;
  return h("span", {}, h("code", {}, said), mark);
}

/** Draws a type; the document's own are links to where they are explained. */
function typeLink(schema: Schema | undefined): HTMLElement {
  const said = typeWords(schema);
  const known = references(schema);
  const pieces = said.split(new RegExp(`\\b(${known.join("|") || "$^"})\\b`));
  const target = (type: string) => (type === "ErrorCode" ? "#errors" : `#type-${type}`);
  return h(
    "code",
    {},
    ...pieces.map((piece) =>
      known.includes(piece) ? h("a", { href: target(piece) }, piece) : piece,
    ),
  );
}

function codeList(all: string[]): HTMLElement {
  return h("span", { class: "code-list" }, ...all.map((it) => h("code", {}, it)));
}

/** Draws text in which backticks mark code. */
function marked(said: string): (Node | string)[] {
  return said.split("`").map((piece, index) => (index % 2 === 1 ? h("code", {}, piece) : piece));
}

/** Lets a long address break behind its slashes. */
function breakable(path: string): (Node | string)[] {
  return path.split(/(?<=\/)/).flatMap((piece) => [piece, h("wbr")]);
}
