// Builds the page into ../built: one script, one style, a typeface, the icon, the licences of others, and the document that names them
// by their digests. Anything that is there from before goes first. Says how large it came out.
import { build } from "esbuild";
import { gzipSync } from "node:zlib";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const built = join(here, "..", "built");
const MOST_BYTES = 150 * 1024; // gzipped, all of it together

await rm(built, { recursive: true, force: true });
await mkdir(built, { recursive: true });

const result = await build({
  absWorkingDir: here,
  entryPoints: { page: "src/main.tsx", style: "src/style/style.css", icon: "src/icon.svg" },
  outdir: built,
  entryNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  jsx: "automatic",
  jsxImportSource: "preact",
  loader: { ".svg": "copy", ".woff2": "file" },
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});

const names = Object.keys(result.metafile.outputs).map((each) => basename(each));
const script = names.find((each) => each.endsWith(".js"));
const style = names.find((each) => each.endsWith(".css"));
const icon = names.find((each) => each.endsWith(".svg"));
const document = (await readFile(join(here, "src", "index.html"), "utf8"))
  .replaceAll("{{script}}", `/page/${script}`)
  .replaceAll("{{style}}", `/page/${style}`)
  .replaceAll("{{font}}", `/page/${names.find((each) => each.endsWith(".woff2"))}`)
  .replaceAll("{{icon}}", `/page/${icon}`);
await writeFile(join(built, "index.html"), document);

// What others ask to be told with their work.
const licences = ["preact", "uplot", "@fontsource-variable/inter"].map(async (name) => {
  return `${name}\n\n${await readFile(join(here, "node_modules", name, "LICENSE"), "utf8")}\n`;
});
await writeFile(join(built, "licences.txt"), (await Promise.all(licences)).join("\n"));

let packed = 0;
for (const name of [...names, "index.html"]) {
  packed += gzipSync(await readFile(join(built, name))).length;
}
console.log(`the page: ${(packed / 1024).toFixed(1)} KB gzipped`);
if (packed > MOST_BYTES) {
  throw new Error(`the page has more than ${MOST_BYTES / 1024} KB gzipped`);
}
