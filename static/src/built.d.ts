/** The text of a worker's script, made by the build. */
declare module "worker:*" {
  const source: string;
  export default source;
}

/** A style sheet's text, made by the build. */
declare module "style:*" {
  const rules: string;
  export default rules;
}
