// Makes `dist/`: what the server embeds and serves under /static/, and the pages themselves.
//
// hls.js is a chunk of its own, fetched only by pages that play something. Its worker is a file
// rather than a blob, so that the pages run under a policy that names only their own origin.

import { build } from "esbuild";
import { cp, mkdir, readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });

await build({
  absWorkingDir: here,
  entryPoints: { slipway: "src/main.ts" },
  outdir: dist,
  bundle: true,
  splitting: true,
  format: "esm",
  target: ["chrome109", "firefox115", "safari16.4"],
  minify: true,
  legalComments: "linked",
  chunkNames: "chunk-[name]-[hash]",
  logLevel: "warning",
});
await build({
  absWorkingDir: here,
  entryPoints: { slipway: "css/slipway.css" },
  outdir: dist,
  bundle: true,
  minify: true,
  target: ["chrome109", "firefox115", "safari16.4"],
  logLevel: "warning",
});
await cp(join(here, "pages"), dist, { recursive: true });
await cp(join(here, "node_modules/hls.js/dist/hls.worker.js"), join(dist, "hls.worker.js"));

for (const name of (await readdir(dist)).sort()) {
  const { size } = await stat(join(dist, name));
  console.log(`${String(size).padStart(8)}  ${name}`);
}
