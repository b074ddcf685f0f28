/** The page: what it shows and what its buttons do. */

import { runnable } from "./bundle";
import { Camera } from "./camera";
import { type Choice, choose, type Circumstances, type Wish, wishes } from "./choice";
import { type Bundle, circumstances, openBundle, settle } from "./device";
import { element, made, megabytes } from "./element";
import { best, Model } from "./model";
import { keepThePage } from "./offline";
import { type Loaded, RUNTIME_FILES } from "./runtime";
import type { Answer } from "./worker";

const TOP = 5;
const WISH_KEY = "convoy-file";
const NAMES: Record<Wish, string> = {
  auto: "Automatic",
  int8: "int8 (small)",
  fp32: "fp32",
  webgpu: "fp32 on the GPU",
};

const photo = element<HTMLButtonElement>("photo");
const cameraButton = element<HTMLButtonElement>("camera");
const file = element<HTMLInputElement>("file");
const preview = element<HTMLImageElement>("preview");
const wishField = element<HTMLSelectElement>("wish");

let model: Model | null = null;
let bundle: Bundle;
let found: Circumstances;
let pageKept = false;

const camera = new Camera(element<HTMLVideoElement>("video"), async (frame) => {
  if (model) await answerWith(model.classify(frame));
  else frame.close();
});

function showAnswer({ probabilities, size, ms }: Answer): void {
  const rows = best(probabilities, TOP).map(({ index, probability }) => {
    const row = made("div", "", "row");
    const bar = made("i", "", "bar");
    bar.style.width = `${100 * probability}%`;
    row.append(bar, made("span", bundle.manifest.labels[index]), made("span", `${(100 * probability).toFixed(1)} %`));
    return row;
  });
  element("answer").replaceChildren(...rows);
  const all = ms.decode + ms.preprocess + ms.infer;
  element("time").textContent =
    `${all.toFixed(0)} ms: decode ${ms.decode.toFixed(0)}, resize ${ms.preprocess.toFixed(0)}, model ${ms.infer.toFixed(0)} · ${size[0]}×${size[1]} pixels`;
  element("time").hidden = false;
}

function showProblem(problem: unknown): void {
  const text = problem instanceof Error ? problem.message : String(problem);
  element("answer").replaceChildren(made("p", text, "problem"));
  element("time").hidden = true;
}

async function answerWith(answer: Promise<Answer>): Promise<void> {
  try {
    showAnswer(await answer);
  } catch (problem) {
    showProblem(problem);
  }
}

async function showPicture(picture: Blob): Promise<void> {
  stopCamera();
  if (preview.src) URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(picture);
  preview.alt = "Your picture";
  preview.hidden = false;
  element("hint").hidden = true;
  if (model) await answerWith(model.classify(picture));
}

async function toggleCamera(): Promise<void> {
  if (camera.running) return stopCamera();
  try {
    await camera.start();
    preview.hidden = true;
    element("hint").hidden = true;
    cameraButton.textContent = "Stop";
    cameraButton.ariaPressed = "true";
    element("answer").ariaLive = "off"; // a screen reader would read several answers a second
  } catch (problem) {
    const refused = problem instanceof DOMException && problem.name === "NotAllowedError";
    showProblem(refused ? "The camera may not be used: allow it in the browser's settings." : "There is no camera here.");
  }
}

function stopCamera(): void {
  camera.stop();
  cameraButton.textContent = "Camera";
  cameraButton.ariaPressed = null;
  element("answer").ariaLive = "polite";
  element("hint").hidden = !preview.hidden;
}

function wish(): Wish {
  const kept = localStorage.getItem(WISH_KEY) as Wish | null;
  return kept && wishes(found.files, found.gpu).includes(kept) ? kept : "auto";
}

function fillWishes(): void {
  const options = wishes(found.files, found.gpu).map((value) => {
    const artefact = value === "auto" ? undefined : found.files.get(value === "int8" ? "int8" : "fp32");
    const option = made("option", artefact ? `${NAMES[value]}, ${megabytes(artefact.bytes)}` : NAMES[value]);
    option.value = value;
    option.selected = value === wish();
    return option;
  });
  wishField.replaceChildren(...options);
}

function describe(choice: Choice, loaded: Loaded): void {
  const artefact = found.files.get(choice.precision)!;
  const top1 = artefact.accuracy ? `, top-1 ${(100 * artefact.accuracy.top1).toFixed(1)}\u00a0%` : "";
  element("size").textContent = `${megabytes(artefact.bytes)} (${choice.precision}${top1})`;
  const where = loaded.backend === "webgpu" ? "WebGPU" : `WebAssembly, ${loaded.threads} thread${loaded.threads > 1 ? "s" : ""}`;
  element("runtime").textContent = `${where}, started in ${loaded.startMs.toFixed(0)} ms`;
  element("golden").textContent = loaded.golden === 0 ? "answered exactly as recorded" : `answered as recorded, within ${loaded.golden.toExponential(0)}`;
  element("why").textContent = `Why this file: ${choice.precision}, ${choice.why}.`;
  document.body.dataset.precision = choice.precision;
  document.body.dataset.backend = loaded.backend;
}

/** Load what the wish and the circumstances ask for; a GPU that answers otherwise is left for WebAssembly. */
async function loadModel(): Promise<void> {
  setBusy(true);
  found = await circumstances(runnable(bundle.manifest));
  fillWishes();
  const choice = choose(wish(), found);
  try {
    await open(choice);
  } catch (problem) {
    if (choice.backend !== "webgpu") throw problem;
    await open({ ...choice, backend: "wasm", why: "because the GPU did not give the recorded answer" });
  }
  setBusy(false);
}

async function open(choice: Choice): Promise<void> {
  model?.close();
  model = null;
  const next = new Model(bundle.manifest);
  const artefact = found.files.get(choice.precision)!;
  const bar = element<HTMLProgressElement>("bar");
  try {
    const loaded = await next.load(artefact, choice.backend, (done, total) => {
      bar.value = done / total;
      element("loading-text").textContent = `Loading the model and its runtime: ${megabytes(done)} of about ${megabytes(total)}`;
    });
    model = next;
    describe(choice, loaded);
  } catch (problem) {
    next.close();
    throw problem;
  }
  await settle(bundle, artefact, RUNTIME_FILES, choice.backend);
  showOffline();
}

function setBusy(busy: boolean): void {
  element("loading").hidden = !busy;
  photo.disabled = wishField.disabled = busy;
  cameraButton.disabled = busy || !Camera.offered;
  element("time").hidden = true;
  element("answer").replaceChildren(busy ? "" : made("p", "Point the camera at something, or choose a photo.", "quiet"));
}

function showOffline(): void {
  const badge = element("offline");
  if (!pageKept || !model) return;
  badge.textContent = "works offline";
  badge.dataset.ready = "";
}

async function change(): Promise<void> {
  localStorage.setItem(WISH_KEY, wishField.value);
  stopCamera();
  await begin(loadModel());
}

/** Whatever fails while loading is one sentence in the answer's place. */
async function begin(loading: Promise<void>): Promise<void> {
  try {
    await loading;
  } catch (problem) {
    setBusy(false);
    photo.disabled = cameraButton.disabled = true;
    showProblem(problem);
  }
}

async function start(): Promise<void> {
  void keepThePage().then((kept) => {
    pageKept = kept;
    showOffline();
  });
  bundle = await openBundle();
  const { name, version } = bundle.manifest;
  element("name").textContent = `${name} ${version}`;
  document.title = `${name} · Convoy`;
  element("identity").textContent = bundle.id ?? "not computed without HTTPS";
  await loadModel();
}

photo.addEventListener("click", () => file.click());
file.addEventListener("change", () => {
  const [picture] = file.files ?? [];
  if (picture) void showPicture(picture);
  file.value = "";
});
cameraButton.addEventListener("click", () => void toggleCamera());
wishField.addEventListener("change", () => void change());
document.addEventListener("paste", (event) => {
  const [picture] = event.clipboardData?.files ?? [];
  if (picture) void showPicture(picture);
});
void begin(start());
