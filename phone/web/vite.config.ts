import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join, relative } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

/** The runtimes take minutes to compress well and change with onnxruntime-web alone. */
const PACKED = ".packed";
/** 11 is the smallest, and three minutes for the runtimes; a test needs no better than 5. */
const QUALITY = Number(process.env.BROTLI_QUALITY ?? 11);
const COMPRESSED = /\.(html|js|mjs|css|wasm|svg|webmanifest)$/;

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

/** Tells the service worker what the page consists of, then writes .br and .gz beside every text and runtime. */
function finish(): Plugin {
  let out = "dist";
  return {
    name: "finish",
    apply: "build",
    configResolved(config) {
      out = config.build.outDir;
    },
    closeBundle() {
      // The runtimes are fetched, with a progress bar, only by who needs them: the page keeps those itself.
      const shell = files(out).filter((name) => name !== "sw.js" && !name.endsWith(".wasm"));
      const digest = createHash("sha256");
      for (const name of shell) digest.update(name).update(readFileSync(join(out, name)));
      const script = readFileSync(join(out, "sw.js"), "utf8")
        .replaceAll("__SHELL__", JSON.stringify(JSON.stringify(shell)))
        .replaceAll("__VERSION__", JSON.stringify(digest.digest("hex").slice(0, 16)));
      writeFileSync(join(out, "sw.js"), script);
      for (const name of files(out).filter((name) => COMPRESSED.test(name))) compress(join(out, name));
    },
  };
}

function compress(path: string): void {
  const data = readFileSync(path);
  for (const [suffix, pack] of [["br", brotli], ["gz", gzip]] as const) {
    const packed = remembered(data, suffix, pack);
    if (packed.length < data.length) writeFileSync(`${path}.${suffix}`, packed);
  }
}

function brotli(data: Buffer): Buffer {
  const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN, BROTLI_PARAM_SIZE_HINT } = constants;
  return brotliCompressSync(data, {
    params: { [BROTLI_PARAM_QUALITY]: QUALITY, [BROTLI_PARAM_LGWIN]: 24, [BROTLI_PARAM_SIZE_HINT]: data.length },
  });
}

const gzip = (data: Buffer): Buffer => gzipSync(data, { level: 9 });

function remembered(data: Buffer, suffix: string, pack: (data: Buffer) => Buffer): Buffer {
  if (data.length < 1e6) return pack(data);
  const at = join(PACKED, `${createHash("sha256").update(data).digest("hex")}.${QUALITY}.${suffix}`);
  if (existsSync(at)) return readFileSync(at);
  const packed = pack(data);
  mkdirSync(PACKED, { recursive: true });
  writeFileSync(at, packed);
  return packed;
}

/** For the progress bar: a compressed answer does not say how much it will be. */
const runtimeBytes = (name: string): number => statSync(join("node_modules/onnxruntime-web/dist", name)).size;

export default defineConfig({
  define: {
    __RUNTIME_BYTES__: JSON.stringify({
      wasm: runtimeBytes("ort-wasm-simd-threaded.wasm"),
      webgpu: runtimeBytes("ort-wasm-simd-threaded.asyncify.wasm"),
    }),
  },
  // The page may be hosted below any path.
  base: "./",
  // The runtime stays a file of its own: bundled, its threads would start this page's worker again.
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "import", "default"] },
  worker: { format: "es" },
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rollupOptions: {
      input: { index: "index.html", conformance: "conformance.html", sw: "src/sw.ts" },
      output: { entryFileNames: (chunk) => (chunk.name === "sw" ? "sw.js" : "assets/[name]-[hash].js") },
    },
  },
  plugins: [finish()],
});
