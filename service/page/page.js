"use strict";

const byId = (id) => document.getElementById(id);
const element = (name, text, attributes = {}) =>
  Object.assign(document.createElement(name), { textContent: text, ...attributes });

let asked = 0; // only the latest question's answer is shown
let latest = null; // its picture, the address that answered, and whether that can explain

const chosen = () => {
  const [name, version] = byId("model").value.split("\n");
  return `models/${encodeURIComponent(name)}/versions/${encodeURIComponent(version)}/predict`;
};

async function ask(picture) {
  const turn = ++asked;
  const preview = byId("preview");
  if (preview.src) URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(picture);
  preview.alt = picture.name ? `Your picture ${picture.name}` : "Your picture";
  preview.hidden = false;
  byId("hint").textContent = "Another one: drop it, paste it, or";
  byId("answer").replaceChildren(element("p", "Asking…", { className: "quiet" }));
  latest = { picture, url: chosen(), explains: byId("model").selectedOptions[0]?.dataset.explains === "true" };
  forget();
  try {
    const started = performance.now();
    const wanted = latest.explains && byId("explain").checked;
    const response = await fetch(wanted ? `${latest.url}?explain=true` : latest.url, { method: "POST", body: picture });
    const body = await response.json();
    if (turn === asked) show(response, body, performance.now() - started);
  } catch (error) {
    if (turn === asked) complain(`The service did not answer: ${error.message}`);
  }
}

function show(response, body, milliseconds) {
  if (!response.ok) return complain(body.detail || response.statusText);
  byId("answer").replaceChildren(...body.predictions.map(bar));
  const stages = [...(response.headers.get("server-timing") || "").matchAll(/(\w+);dur=([\d.]+)/g)];
  stages.push([null, "round trip", milliseconds]);
  byId("stages").replaceChildren(...stages.map(([, name, value]) => {
    const pair = document.createElement("div");
    pair.append(element("dt", name), element("dd", `${Number(value).toFixed(1)} ms`));
    return pair;
  }));
  byId("stages").hidden = false;
  byId("why").hidden = !latest.explains;
  if (body.explanation) lay(body.explanation);
  byId("identity").textContent = `${body.model}, version ${body.version}, bundle ${body.bundle}`;
}

function lay({ label, crop, png }) {
  const heat = byId("heat");
  heat.src = `data:image/png;base64,${png}`;
  heat.alt = `Heat map of ${label} over your picture`;
  for (const [side, share] of Object.entries(crop)) heat.style[side] = `${100 * share}%`;
  heat.hidden = !byId("explain").checked || byId("preview").hidden;
  byId("seen").textContent = `Brightest where it saw ${label}. It sees what is inside the dashed square.`;
}

function forget() {
  byId("heat").hidden = true;
  byId("heat").removeAttribute("src");
  byId("seen").textContent = "";
  byId("why").hidden = true;
}

async function explain() {
  const turn = asked;
  byId("seen").hidden = !byId("explain").checked;
  if (byId("heat").hasAttribute("src") || !byId("explain").checked) {
    byId("heat").hidden = !byId("explain").checked || byId("preview").hidden;
    return;
  }
  try {
    const response = await fetch(`${latest.url}?explain=true`, { method: "POST", body: latest.picture });
    const body = await response.json();
    if (turn !== asked) return;
    if (response.ok) lay(body.explanation);
    else byId("seen").textContent = body.detail || response.statusText;
  } catch (error) {
    if (turn === asked) byId("seen").textContent = `The service did not answer: ${error.message}`;
  }
}

function bar({ label, probability }) {
  const row = element("div", "", { className: "row" });
  const percent = `${(100 * probability).toFixed(1)} %`;
  const meter = element("meter", percent, { value: probability, max: 1 });
  meter.setAttribute("aria-label", label);
  row.append(element("span", label), element("span", percent), meter);
  return row;
}

function complain(text) {
  byId("answer").replaceChildren(element("p", text, { className: "problem" }));
  byId("stages").hidden = true;
  byId("identity").textContent = "";
}

function option({ name, version, explains }) {
  const found = element("option", `${name} ${version}`, { value: `${name}\n${version}` });
  found.dataset.explains = explains;
  return found;
}

async function listModels() {
  try {
    const response = await fetch("models");
    const body = await response.json();
    if (!response.ok) return complain(body.detail);
    byId("model").replaceChildren(...body.models.reverse().map(option));
    byId("model").disabled = false;
    snippet();
  } catch (error) {
    complain(`The service did not answer: ${error.message}`);
  }
}

const snippets = {
  curl: (url) => `curl --data-binary @photo.jpg '${url}'`,
  python: (url) => `import httpx  # pip install httpx

with open("photo.jpg", "rb") as file:
    answer = httpx.post("${url}", content=file.read(), timeout=30)
answer.raise_for_status()
for prediction in answer.json()["predictions"]:
    print(prediction["label"], prediction["probability"])`,
  javascript: (url) => `const picture = document.querySelector("input[type=file]").files[0];
const response = await fetch("${url}", { method: "POST", body: picture });
const answer = await response.json();
if (!response.ok) throw new Error(answer.detail);
console.log(answer.predictions);`,
};

const tabs = () => [...document.querySelectorAll("[role=tab]")];
const language = () => tabs().find((tab) => tab.getAttribute("aria-selected") === "true").id.slice(4);

function snippet() {
  byId("code").textContent = snippets[language()](new URL(chosen(), document.baseURI).href);
}

function select(tab) {
  for (const other of tabs()) {
    other.setAttribute("aria-selected", String(other === tab));
    other.tabIndex = other === tab ? 0 : -1;
  }
  byId("code").setAttribute("aria-labelledby", tab.id);
  tab.focus();
  snippet();
}

for (const tab of tabs()) {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (step) select(tabs().at((tabs().indexOf(tab) + step) % tabs().length));
  });
}

byId("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(byId("code").textContent);
    byId("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(byId("code")); // no clipboard without HTTPS: select it at least
    byId("copy").textContent = "Selected";
  }
  setTimeout(() => { byId("copy").textContent = "Copy"; }, 1500);
});

// No picture, or none that the browser shows.
byId("preview").addEventListener("error", () => { byId("preview").hidden = byId("heat").hidden = true; });
byId("explain").addEventListener("change", explain);
byId("model").addEventListener("change", snippet);
byId("choose").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", ({ target }) => {
  if (target.files[0]) ask(target.files[0]);
  target.value = "";
});
document.addEventListener("paste", ({ clipboardData }) => {
  if (clipboardData.files[0]) ask(clipboardData.files[0]);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("drop").classList.add("over");
});
document.addEventListener("dragleave", () => byId("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  if (event.dataTransfer.files[0]) ask(event.dataTransfer.files[0]);
});

const viewfinder = byId("viewfinder");
const video = viewfinder.querySelector("video");

byId("camera").addEventListener("click", async () => {
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    byId("shoot").disabled = true;
    viewfinder.showModal();
  } catch (error) {
    // No camera, no permission, or no HTTPS (then there is no mediaDevices at all).
    complain(`No camera here: ${error.message}`);
  }
});
byId("shoot").addEventListener("click", () => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((picture) => picture && ask(picture), "image/jpeg", 0.92);
  viewfinder.close();
});
video.addEventListener("loadeddata", () => { byId("shoot").disabled = false; });
byId("cancel").addEventListener("click", () => viewfinder.close());
viewfinder.addEventListener("close", () => {
  video.srcObject?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
});

listModels();
