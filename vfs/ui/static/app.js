// The page: asks for the state every second, and draws what changed. Texts are set as text, never as HTML.
const EVERY_MS = 1000, POINTS = 60;
const at = (id) => document.getElementById(id);
const state = { mount: null, view: "files", folder: "", mounts: [], last: null, series: {}, after: 0, events: [], drawn: {} };

async function get(path, facts = {}) {
  const answer = await fetch(`/api/${path}?${new URLSearchParams(facts)}`);
  return told(answer);
}

async function act(facts) {
  const answer = await fetch("/api/act", {
    method: "POST",
    headers: { "content-type": "application/json", "x-anchorfs": "1" },
    body: JSON.stringify({ mountpoint: state.mount, ...facts }),
  });
  return told(answer);
}

async function told(answer) {
  if (answer.status === 403) throw new Error(await answer.text());
  const body = await answer.json();
  if (body.error) throw new Error([body.error.message, body.error.hint].filter(Boolean).join(" — "));
  return body;
}

function say(error) {
  at("trouble").hidden = !error;
  at("trouble").textContent = error ? error.message : "";
}

async function trying(work) {
  try { await work(); say(null); } catch (error) { say(error); }
}

function element(name, facts = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(facts)) {
    if (key === "onclick") made.addEventListener("click", value); else made.setAttribute(key, value);
  }
  made.append(...children.map((child) => (child instanceof Node ? child : String(child ?? ""))));
  return made;
}

function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) { count /= 1024; unit += 1; }
  return `${unit ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
}

function draw(key, value, make) {
  const text = JSON.stringify(value);
  if (state.drawn[key] === text) return;  // a table that did not change keeps its focus and its scroll
  state.drawn[key] = text;
  make();
}

function plot(name, value) {
  const points = (state.series[name] ??= []);
  points.push(value);
  if (points.length > POINTS) points.shift();
  const top = Math.max(...points, 1);
  const line = points.map((each, n) => `${((n + POINTS - points.length) * 120) / (POINTS - 1)},${(31 - (30 * each) / top).toFixed(2)}`).join(" ");
  const polyline = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  polyline.setAttribute("points", line);
  at(`${name}-plot`).replaceChildren(polyline);
}

function current() {
  return state.mounts.find((mount) => mount.mountpoint === state.mount);
}

function showMounts() {
  draw("mounts", state.mounts.map((mount) => mount.mountpoint), () => {
    at("mount").replaceChildren(...state.mounts.map((mount) => element("option", { value: mount.mountpoint }, mount.mountpoint)));
    if (!current()) choose(state.mounts[0]?.mountpoint ?? null);
    at("mount").value = state.mount ?? "";
  });
}

function choose(mountpoint) {
  Object.assign(state, { mount: mountpoint, folder: "", last: null, series: {}, after: 0, events: [], drawn: { mounts: state.drawn.mounts } });
  at("events").replaceChildren();
}

function showFigures() {
  const mount = current();
  const status = mount?.status;
  const word = !mount ? "no mount is running" : mount.error ? mount.error.message : status.connection + (status.paused ? ", paused" : "");
  at("connection").textContent = word;
  at("connection").className = status?.connection === "online" ? "online" : "";
  at("pause").textContent = status?.paused ? "Resume" : "Pause";
  for (const id of ["pause", "retry"]) at(id).disabled = !status;
  if (!status) return;
  const seconds = state.last ? Math.max((Date.now() - state.last.at) / 1000, 0.1) : 1;
  const rate = (name) => Math.max(0, (status[name] - (state.last?.status[name] ?? status[name])) / seconds);
  const [up, down] = [rate("bytes_up"), rate("bytes_down")];
  const waiting = status.queue_pending + status.queue_parked + status.queue_held;
  at("up").textContent = `${bytes(up)}/s`;
  at("down").textContent = `${bytes(down)}/s`;
  at("waiting").textContent = `${waiting} changes`;
  at("cache").textContent = `${bytes(status.cache_bytes)} of ${bytes(status.cache_limit)}`;
  plot("up", up); plot("down", down); plot("waiting", waiting); plot("cache", status.cache_bytes);
  state.last = { at: Date.now(), status };
}

function showQueue() {
  const rows = current()?.queue ?? [];
  at("transfers-count").textContent = rows.length || "";
  draw("queue", rows, () => {
    at("queue").replaceChildren(...rows.map((row) => {
      const share = row.progress ? `${bytes(row.progress.sent_bytes)} of ${bytes(row.progress.total_bytes)}` : "";
      const held = row.state === "held" ? [
        element("button", { type: "button", onclick: () => trying(() => act({ verb: "approve", path: row.path })) }, "Approve"),
        element("button", { type: "button", onclick: () => trying(() => act({ verb: "reject", path: row.path })) }, "Reject"),
      ] : [row.reason ?? ""];
      return element("tr", {}, element("td", {}, row.state), element("td", {}, row.aspect), element("td", {}, row.path),
        element("td", {}, share), element("td", {}, ...held));
    }));
  });
  at("transfers").querySelector(".empty").hidden = rows.length > 0;
}

function showConflicts() {
  const rows = current()?.open_conflicts ?? [];
  at("conflicts-count").textContent = rows.length || "";
  draw("conflicts", rows, () => at("conflict-list").replaceChildren(...rows.map(conflict)));
  at("conflicts").querySelector(".empty").hidden = rows.length > 0;
}

function conflict(row) {
  const sides = element("div", { class: "sides" }), box = element("div", { class: "conflict" });
  const keep = (which, words) => element("button", { type: "button", onclick: () => trying(() => act({ verb: "resolve", path: row.copy, keep: which })) }, words);
  box.append(element("strong", {}, row.original || row.copy), sides, element("div", { class: "actions" },
    element("button", { type: "button", onclick: () => trying(() => compare(row, sides)) }, "Compare"),
    keep("original", "Keep the original"), keep("copy", "Keep the copy"), keep("both", "Keep both")));
  return box;
}

async function compare(row, sides) {
  const paths = [row.original, row.copy].filter(Boolean);
  const looks = await Promise.all(paths.map((path) => get("preview", { mountpoint: state.mount, path })));
  const lines = looks.map((look) => (look.text ?? "").split("\n"));
  sides.replaceChildren(...paths.map((path, side) => {
    const look = looks[side], other = new Set(lines[1 - side] ?? []);
    const pre = element("pre");
    if (look.text === null) pre.append(`not text, ${bytes(look.size)}`);
    else for (const line of lines[side]) pre.append(other.has(line) ? line : element("mark", {}, line), "\n");
    if (look.cut) pre.append("…");
    const when = new Date(look.mtime_ns / 1e6).toLocaleString();
    return element("div", {}, element("h2", {}, path), element("div", {}, `${bytes(look.size)}, written ${when}`), pre);
  }));
}

async function showFolder() {
  const mountpoint = state.mount, folder = state.folder;
  if (!mountpoint) { at("entries").replaceChildren(); return; }
  const look = await get("folder", { mountpoint, path: folder });
  if (mountpoint !== state.mount || folder !== state.folder) return;
  draw("crumbs", [mountpoint, folder], showCrumbs);
  draw("entries", look, () => at("entries").replaceChildren(...look.entries.map(entry)));
  at("more").hidden = !look.more;
  at("more").textContent = look.more ? `and ${look.more} more` : "";
}

function showCrumbs() {
  const names = state.folder.split("/").filter(Boolean);
  const crumb = (words, folder) => element("button", { type: "button", class: "link", onclick: () => open(folder) }, words);
  const parts = [crumb(state.mount, "")];
  names.forEach((name, n) => parts.push(" / ", crumb(name, names.slice(0, n + 1).join("/"))));
  at("crumbs").replaceChildren(...parts);
}

function open(folder) {
  state.folder = folder;
  trying(showFolder);
}

function entry(row) {
  const path = [state.folder, row.name].filter(Boolean).join("/");
  const name = row.kind === "folder"
    ? element("button", { type: "button", class: "link", onclick: () => open(path) }, `${row.name}/`) : row.name;
  const button = (words, facts) => element("button", { type: "button", onclick: () => trying(async () => { await act({ path, ...facts }); await showFolder(); }) }, words);
  const pinned = row.pin === "pinned";
  const actions = row.kind === "symlink" ? [] : [
    button(pinned ? "Unpin" : "Pin", { verb: "pin", pin: pinned ? "inherit" : "pinned" }),
    ...(row.kind === "file" && row.state !== "local" ? [button("Fetch", { verb: "hydrate" })] : []),
    ...(row.kind === "folder" || (row.state !== "online-only" && row.pinned !== "yes") ? [button("Evict", { verb: "evict" })] : []),
  ];
  const file = row.kind === "file";
  return element("tr", {},
    element("td", {}, name, row.pinned === "yes" ? element("span", { class: "badge" }, "pinned") : ""),
    element("td", { class: `state-${row.state ?? ""}` }, row.state ?? ""),
    element("td", { class: `sync-${row.sync ?? ""}` }, row.sync ?? ""),
    element("td", { class: "number" }, file ? bytes(row.size) : ""),
    element("td", { class: "number" }, file ? bytes(row.on_disk_bytes) : ""),
    element("td", { class: "actions" }, ...actions));
}

async function showActivity() {
  if (!state.mount) return;
  const { entries } = await get("activity", { mountpoint: state.mount, after: state.after });
  if (entries.length) {
    state.after = Math.max(state.after, ...entries.map((row) => row.seq));
    at("events").prepend(...entries.reverse().map((row) => element("tr", {},
      element("td", { class: "time" }, new Date(row.at_s * 1000).toLocaleString()), element("td", {}, row.who),
      element("td", {}, row.what), element("td", {}, row.path, row.detail ? ` — ${row.detail}` : ""))));
    while (at("events").rows.length > 500) at("events").lastChild.remove();
  }
  at("activity").querySelector(".empty").hidden = at("events").rows.length > 0;
}

function show(view) {
  state.view = view;
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.setAttribute("aria-selected", String(tab.dataset.view === view));
    at(tab.dataset.view).hidden = tab.dataset.view !== view;
  }
  trying(refreshView);
}

async function refreshView() {
  if (state.view === "files") await showFolder();
  if (state.view === "activity") await showActivity();
}

async function refresh() {
  ({ mounts: state.mounts } = await get("mounts"));
  showMounts(); showFigures(); showQueue(); showConflicts();
  await refreshView();
}

async function live() {
  let failed = false;
  for (;;) {
    try {
      if (!document.hidden) await refresh();
      if (failed) { say(null); failed = false; }
    } catch (error) {
      failed = true;
      say(error instanceof TypeError ? new Error("`anchorfs ui` has ended") : error);
    }
    await new Promise((done) => setTimeout(done, EVERY_MS));
  }
}

at("mount").addEventListener("change", () => { choose(at("mount").value); trying(refresh); });
at("pause").addEventListener("click", () => trying(async () => {
  await act({ verb: current()?.status?.paused ? "resume" : "pause" });
  await refresh();
}));
at("retry").addEventListener("click", () => trying(() => act({ verb: "retry" })));
for (const tab of document.querySelectorAll("[role=tab]")) tab.addEventListener("click", () => show(tab.dataset.view));
live();
