/** The API's document (`/openapi.json`), as far as the page reads it, and its types in words. */

/** A type. `$ref` names one of the document's. */
export interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  description?: string;
  enum?: string[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  oneOf?: Schema[];
  anyOf?: Schema[];
  allOf?: Schema[];
  "x-codes"?: { code: string; status: number; title: string; description: string }[];
}

interface Content {
  description?: string;
  content?: Record<string, { schema?: Schema }>;
  headers?: Record<string, unknown>;
}

export interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  schema?: Schema;
}

export interface Operation {
  operationId: string;
  summary?: string;
  description?: string;
  tags?: string[];
  parameters?: Parameter[];
  requestBody?: Content;
  responses?: Record<string, Content>;
  security?: Record<string, unknown>[];
}

export interface Document {
  info: { title: string; version: string; description?: string };
  tags: { name: string; description?: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

/** An operation and where it is. */
export interface Place {
  method: string;
  path: string;
  operation: Operation;
}

/** Lists the operations under a heading, in the order of their addresses. */
export function under(document: Document, tag: string): Place[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([, operation]) => operation.tags?.includes(tag))
      .map(([method, operation]) => ({ method, path, operation })),
  );
}

/** Returns the name behind a reference. */
export const named = (schema: Schema): string | undefined => schema.$ref?.split("/").pop();

/** Follows a reference. */
export function resolved(document: Document, schema: Schema): Schema {
  const name = named(schema);
  return (name ? document.components.schemas[name] : schema) ?? schema;
}

/** Who may call: everybody, everybody and those who sign in more, or only those. */
export function access({ security }: Operation): "open" | "either" | "signed" {
  if (!security) return "signed";
  if (!security.some((way) => Object.keys(way).length === 0)) return "signed";
  return security.length === 1 ? "open" : "either";
}

/** Says a type in a few words: `string (uuid)`, `Video`, `integer or null`, `Part[]`. */
export function typeWords(schema: Schema | undefined): string {
  if (!schema) return "";
  const name = named(schema);
  if (name) return name;
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return choices.map(typeWords).join(" or ");
  if (schema.allOf) return schema.allOf.map(typeWords).filter((it) => it !== "object").join(" & ");
  const kinds = [schema.type ?? "object"].flat();
  const words = kinds.map((kind) => {
    if (kind === "array") return `${typeWords(schema.items) || "any"}[]`;
    const format = kind !== "null" && schema.format && !/^(u?int|float|double)/.test(schema.format);
    return format ? `${kind} (${schema.format})` : kind;
  });
  return words.join(" or ");
}

/** Returns what an object holds, with what it takes from others. */
export function members(document: Document, schema: Schema): [string, Schema, boolean][] {
  const whole = resolved(document, schema);
  const own = Object.entries(whole.properties ?? {}).map(
    ([name, member]): [string, Schema, boolean] => [
      name,
      member,
      whole.required?.includes(name) ?? false,
    ],
  );
  return [...(whole.allOf ?? []).flatMap((part) => members(document, part)), ...own];
}

/** Lists the types that a type names, so that they can be shown below it. */
export function references(schema: Schema | undefined): string[] {
  if (!schema) return [];
  const name = named(schema);
  const inside = [...(schema.oneOf ?? []), ...(schema.anyOf ?? []), ...(schema.allOf ?? [])];
  return [...(name ? [name] : []), ...inside.flatMap(references), ...references(schema.items)];
}
