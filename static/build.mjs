// Makes `dist/`: what the server embeds and serves under /static/, and the pages themselves.
//
// hls.js is a chunk of its own, fetched only by pages that play something. Its worker is a file
// rather than a blob, so that the pages run under a policy that names only their own origin.

import { build as esbuild } from "esbuild";
import { execFileSync } from "node:child_process";
import { cp, mkdir, readFile, readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
const TARGET = ["chrome109", "firefox115", "safari16.4"];

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });

/** `import text from "worker:./x"`, or "style:./x.css": a worker's script, or a sheet, as text. */
const texts = {
  name: "texts",
  setup(build) {
    build.onResolve({ filter: /^(worker|style):/ }, ({ path, resolveDir }) => {
      const [kind, file] = path.split(":");
      return { path: join(resolveDir, kind === "worker" ? `${file}.ts` : file), namespace: "text" };
    });
    build.onLoad({ filter: /./, namespace: "text" }, async ({ path }) => {
      const options = { bundle: true, write: false, minify: true, format: "iife", target: TARGET };
      const made = await esbuild({ ...options, entryPoints: [path], metafile: true });
      const watchFiles = Object.keys(made.metafile.inputs);
      return { contents: made.outputFiles[0].text, loader: "text", watchFiles };
    });
  },
};

/** What the scripts of a page may weigh, as they travel: those that it needs to be of use. */
const BUDGETS = [
  { page: "upload", of: "src/upload.ts", kilobytes: 60 },
  { page: "player", of: "src/player.ts", besides: ["src/main.ts"], kilobytes: 40 },
];

const scripts = {
  absWorkingDir: here,
  entryPoints: { slipway: "src/main.ts" },
  bundle: true,
  splitting: true,
  format: "esm",
  target: TARGET,
  minify: true,
  // Escaped, the words of other scripts would weigh twice as much.
  charset: "utf8",
  legalComments: "linked",
  chunkNames: "chunk-[name]-[hash]",
  plugins: [texts],
  logLevel: "warning",
};
const { metafile } = await esbuild({ ...scripts, outdir: dist, metafile: true });

// The same for bundlers of others, without the server's own pages; and its types.
const packaged = join(here, "package");
for (const name of await readdir(packaged)) {
  if (/\.(js|d\.ts|LEGAL\.txt)$/.test(name)) await rm(join(packaged, name));
}
await esbuild({ ...scripts, entryPoints: { slipway: "src/package.ts" }, outdir: packaged });
execFileSync(join(here, "node_modules/.bin/tsc"), ["-p", join(here, "tsconfig.package.json")]);

await esbuild({
  absWorkingDir: here,
  entryPoints: ["slipway", "board", "library"].map((name) => `css/${name}.css`),
  outdir: dist,
  bundle: true,
  minify: true,
  target: TARGET,
  logLevel: "warning",
});
await cp(join(here, "pages"), dist, { recursive: true });
await cp(join(here, "node_modules/hls.js/dist/hls.worker.js"), join(dist, "hls.worker.js"));

for (const name of (await readdir(dist)).sort()) {
  const { size } = await stat(join(dist, name));
  console.log(`${String(size).padStart(8)}  ${name}`);
}

/** Returns the files that come with the one made of `source`, itself included. */
function filesOf(source) {
  const { outputs } = metafile;
  const names = Object.keys(outputs);
  const found = new Set(names.filter((name) => outputs[name].entryPoint === source));
  for (const name of found) {
    const needed = outputs[name].imports.filter(({ kind }) => kind === "import-statement");
    for (const { path } of needed) if (outputs[path]) found.add(path);
  }
  return found;
}

for (const { page, of, besides = [], kilobytes } of BUDGETS) {
  const files = filesOf(of);
  if (files.size === 0) throw new Error(`${of} isn't a file of its own`);
  const others = new Set(besides.flatMap((source) => [...filesOf(source)]));
  if (besides.length === 0) for (const file of filesOf("src/main.ts")) files.add(file);
  let bytes = 0;
  for (const file of files) {
    if (!others.has(file)) bytes += gzipSync(await readFile(join(here, file)), { level: 9 }).length;
  }
  console.log(`${String(bytes).padStart(8)}  gzipped, ${page} (${kilobytes} KB at most)`);
  if (bytes > kilobytes * 1000) throw new Error(`the scripts of the ${page} are too large`);
}
