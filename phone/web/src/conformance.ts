/** Replays the bundle's golden pictures and the conformance kit on this device. */

import { bundlePath, type Manifest, runnable } from "./bundle";
import { choose, type Wish } from "./choice";
import { circumstances, openBundle } from "./device";
import { element, made } from "./element";
import { best, Model } from "./model";
import { readNpy } from "./npy";
import { load } from "./store";
import type { Stages } from "./worker";

/** conformance/cases.json, written by `convoy phone`. */
interface Kit {
  cases: { name: string; image: string; tensor: string; answers: Record<string, string> }[];
}

/** One picture's files, as addresses and checksums of the store. */
interface Case {
  name: string;
  image: [string, string?];
  tensor: [string, string?];
  answer: () => Promise<Float32Array>;
}

export interface Outcome {
  name: string;
  pixels: { max: number; mean: number } | null;
  probability: number | null;
  same: boolean | null;
  expected: string;
  found: string | null;
  problem: string | null;
}

declare global {
  interface Window {
    /** For scripts: compares everything, in the order of the table. */
    conformance?: () => Promise<Outcome[]>;
    /** For scripts: top classes of any picture, and its tensor. */
    classify?: (picture: Blob, k: number) => Promise<{ top: { index: number; probability: number }[]; pixels: Uint8Array; ms: object }>;
    /** For scripts: what a picture takes by each file in WebAssembly, the files by turns. */
    timeFiles?: (picture: Blob, rounds: number, threads: number) => Promise<Timing>;
  }
}

interface Timing {
  /** Those that ran: 1 where the page is not isolated. */
  threads: number;
  /** By precision, a round each. */
  rounds: Record<string, Stages[]>;
}

async function timeFiles(manifest: Manifest, picture: Blob, rounds: number, threads: number): Promise<Timing> {
  const timing: Timing = { threads: 0, rounds: {} };
  const models: [string, Model][] = [];
  for (const [precision, artefact] of runnable(manifest)) {
    const model = new Model(manifest);
    timing.threads = (await model.load(artefact, "wasm", () => {}, threads)).threads;
    timing.rounds[precision] = [];
    models.push([precision, model]);
  }
  for (let round = 0; round < rounds; round++) {
    for (const [precision, model] of models) timing.rounds[precision].push((await model.classify(picture)).ms);
    models.reverse(); // none is always the second
  }
  for (const [, model] of models) model.close();
  return timing;
}

function difference(found: ArrayLike<number>, expected: ArrayLike<number>): { max: number; mean: number } {
  let [max, sum] = [0, 0];
  for (let index = 0; index < expected.length; index++) {
    const distance = Math.abs(found[index] - expected[index]);
    if (!(distance <= max)) max = distance;
    sum += distance;
  }
  return { max, mean: sum / expected.length };
}

const bytesOf = (path: [string, string?]): Promise<ArrayBuffer> => load(...path);

async function compare(model: Model, one: Case): Promise<Outcome> {
  const expected = await one.answer();
  const [top] = best(expected, 1);
  const { labels } = model.manifest;
  const outcome: Outcome = { name: one.name, pixels: null, probability: null, same: null, expected: labels[top.index], found: null, problem: null };
  try {
    const answer = await model.classify(new Blob([await bytesOf(one.image)]), true);
    outcome.pixels = difference(answer.pixels!, readNpy(await bytesOf(one.tensor)).data);
    outcome.probability = difference(answer.probabilities, expected).max;
    const [found] = best(answer.probabilities, 1);
    outcome.found = labels[found.index];
    outcome.same = found.index === top.index;
  } catch (problem) {
    outcome.problem = problem instanceof Error ? problem.message : String(problem);
  }
  return outcome;
}

async function kitCases(target: string): Promise<Case[]> {
  const kit = JSON.parse(new TextDecoder().decode(await load("conformance/cases.json"))) as Kit;
  const at = (name: string): [string] => [`conformance/${name}`];
  return kit.cases.map(({ name, image, tensor, answers }) => ({
    name,
    image: at(image),
    tensor: at(tensor),
    answer: async () => readNpy(await bytesOf(at(answers[target]))).data as Float32Array,
  }));
}

async function goldenCases(model: Model, target: string): Promise<Case[]> {
  const artefact = model.manifest.artefacts.find((one) => one.target === target)!;
  const own = artefact.golden ? readNpy(await load(bundlePath(artefact.golden), artefact.golden.sha256)) : null;
  return model.manifest.golden.map(({ image, tensor, probabilities }, index) => ({
    name: image.path,
    image: [bundlePath(image), image.sha256],
    tensor: [bundlePath(tensor), tensor.sha256],
    answer: async () => {
      const classes = model.manifest.labels.length;
      if (own) return (own.data as Float32Array).subarray(index * classes, (index + 1) * classes);
      return readNpy(await load(bundlePath(probabilities), probabilities.sha256)).data as Float32Array;
    },
  }));
}

function rowOf(outcome: Outcome): HTMLTableRowElement {
  const row = made("tr");
  const { pixels, probability, problem } = outcome;
  const name = made("td", outcome.name);
  if (!outcome.same) name.append(made("span", problem ?? `${outcome.expected} → ${outcome.found}`, "verdict problem"));
  const figures = [pixels ? String(pixels.max) : "–", pixels?.mean.toFixed(3) ?? "–", probability?.toExponential(1) ?? "–"];
  row.append(name, ...figures.map((text) => made("td", text)));
  return row;
}

function summary(outcomes: Outcome[]): string {
  const read = outcomes.filter(({ pixels }) => pixels !== null);
  const equal = read.filter(({ pixels }) => pixels!.max === 0).length;
  const same = read.filter((outcome) => outcome.same).length;
  const unread = outcomes.length - read.length;
  return (
    `The browser's pixels are Python's for ${equal} of ${read.length} pictures; the answer is the same for ${same} of ${read.length}.` +
    (unread ? ` ${unread} cannot be read by this browser.` : "")
  );
}

async function start(): Promise<void> {
  const { manifest } = await openBundle();
  const found = await circumstances(runnable(manifest));
  const asked = new URLSearchParams(location.search).get("file") ?? localStorage.getItem("convoy-file") ?? "auto";
  const choice = choose(asked as Wish, found);
  const artefact = found.files.get(choice.precision)!;
  const model = new Model(manifest);
  const loaded = await model.load(artefact, choice.backend, () => {});
  const where = `${choice.precision} in ${loaded.backend === "webgpu" ? "WebGPU" : "WebAssembly"}`;
  element("summary").textContent = `Ready: ${manifest.name} ${manifest.version}, ${where}.`;
  window.conformance = async () => {
    const cases = [...(await goldenCases(model, artefact.target)), ...(await kitCases(artefact.target))];
    const body = document.querySelector("tbody")!;
    body.replaceChildren();
    const outcomes: Outcome[] = [];
    for (const one of cases) {
      const outcome = await compare(model, one);
      outcomes.push(outcome);
      body.append(rowOf(outcome));
    }
    element("summary").textContent = `${summary(outcomes)} (${where})`;
    return outcomes;
  };
  window.classify = async (picture, k) => {
    const answer = await model.classify(picture, true);
    return { top: best(answer.probabilities, k), pixels: answer.pixels!, ms: answer.ms };
  };
  window.timeFiles = (picture, rounds, threads) => timeFiles(manifest, picture, rounds, threads);
  const button = element<HTMLButtonElement>("start");
  button.disabled = false;
  button.addEventListener("click", () => void window.conformance?.());
}

start().catch((problem: Error) => {
  element("summary").textContent = problem.message;
  element("summary").className = "problem";
});
