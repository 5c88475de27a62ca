// The page's one module: tells a story through the API, and draws the console twice in a second and more often at work.
const element = (id) => document.getElementById(id);
const BUSY_PERIOD = 150, IDLE_PERIOD = 700; // ms between two looks at the console

let running = null; // the AbortController of the story that is told
let chosen = 0; // the console that is looked at
let model = null;

function headers() {
  const key = element("key").value;
  return key ? { Authorization: `Bearer ${key}` } : {};
}

// The message of an answer that is an error.
async function messageOf(answer) {
  if (answer.status === 401) {
    element("key-field").hidden = false;
  }
  try {
    return (await answer.json()).error.message;
  } catch {
    return `the server answers ${answer.status}`;
  }
}

function showError(message) {
  element("error").textContent = message;
  element("error").hidden = !message;
}

// ---- the story

class Story {
  constructor(prompt) {
    const given = document.createElement("span");
    given.className = "given";
    given.textContent = prompt;
    this.told = document.createTextNode("");
    this.prompt = prompt;
    element("story").replaceChildren(given, this.told);
    this.add("");
  }

  add(text) {
    this.told.appendData(text);
    const screen = element("screen");
    screen.textContent = this.prompt + this.told.data;
    screen.scrollTop = screen.scrollHeight;
  }
}

// The lines of a stream of bytes.
async function* linesOf(body) {
  let rest = "";
  for await (const text of texts(body.pipeThrough(new TextDecoderStream()).getReader())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    yield* lines;
  }
}

async function* texts(reader) {
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    yield part.value;
  }
}

function wanted() {
  const body = {
    model,
    prompt: element("prompt").value,
    temperature: element("temperature").valueAsNumber,
    max_tokens: element("tokens").valueAsNumber,
    stream: true,
    stream_options: { include_usage: true },
  };
  if (element("seed").value !== "") {
    body.seed = element("seed").valueAsNumber;
  }
  return body;
}

function take(line, story, facts) {
  if (line.startsWith(": waiting")) {
    const before = Number(/\d+/.exec(line)[0]);
    element("note").textContent = `Waiting: ${before + 1} ${before ? "stories are" : "story is"} before this one.`;
    return;
  }
  if (!line.startsWith("data: ") || line === "data: [DONE]") {
    return;
  }
  const event = JSON.parse(line.slice(6));
  if (event.error) {
    throw new Error(event.error.message);
  }
  if (event.usage) {
    facts.usage = event.usage;
  }
  for (const choice of event.choices) {
    facts.reason = choice.finish_reason ?? facts.reason;
    if (choice.text) {
      element("note").textContent = "";
      story.add(choice.text);
    }
  }
}

async function tell() {
  if (running) {
    return;
  }
  running = new AbortController();
  element("tell").disabled = true;
  element("stop").disabled = false;
  element("figures").textContent = "";
  element("note").textContent = "";
  showError("");
  const facts = {};
  try {
    model ??= await askModel();
    const body = wanted();
    const story = new Story(body.prompt);
    const answer = await fetch("v1/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers() },
      body: JSON.stringify(body),
      signal: running.signal,
    });
    if (!answer.ok) {
      throw new Error(await messageOf(answer));
    }
    for await (const line of linesOf(answer.body)) {
      take(line, story, facts);
    }
    const { prompt_tokens: read, completion_tokens: told } = facts.usage;
    const end = facts.reason === "stop" ? "the story ended" : "its length ended it";
    element("figures").textContent = `${read} tokens read, ${told} told; ${end}`;
  } catch (error) {
    if (error.name === "AbortError") {
      element("figures").textContent = "stopped";
    } else {
      showError(error.message || "the server does not answer");
    }
  }
  element("note").textContent = "";
  running = null;
  element("tell").disabled = false;
  element("stop").disabled = true;
}

async function askModel() {
  const answer = await fetch("v1/models", { headers: headers() });
  if (!answer.ok) {
    throw new Error(await messageOf(answer));
  }
  return (await answer.json()).data[0].id;
}

// ---- the console

function inUnits(bytes) {
  const units = ["bytes", "KiB", "MiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < 2) {
    bytes /= 1024;
    unit++;
  }
  return `${bytes >= 100 || Number.isInteger(bytes) ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`;
}

function speedOf(value) {
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(2);
}

function make(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

const colour = (letter) => (letter === "#" ? "X" : letter);

// Children are made once for each set of names, and then only changed, so that nothing flickers.
function children(parent, names, build) {
  const key = names.join("\n");
  if (parent.dataset.key !== key) {
    parent.dataset.key = key;
    parent.replaceChildren(...names.map((_, index) => build(index)));
  }
  return [...parent.children];
}

function drawMemory(state, console) {
  const regions = console.regions;
  const names = regions.map((region) => `${region.address} ${region.size} ${region.purpose}`);
  const spans = children(element("strip"), names, (index) => make("span", colour(regions[index].letter)));
  regions.forEach((region, index) => {
    spans[index].style.left = `${(100 * region.address) / state.ram_bytes}%`;
    spans[index].style.width = `${(100 * region.size) / state.ram_bytes}%`;
  });
  const own = regions.filter((region) => region.owner !== "system").sort((a, b) => b.size - a.size);
  const ownNames = own.map((region) => region.purpose);
  const parts = children(element("close"), ownNames, (index) => {
    const part = make("span", "");
    part.append(make("i", colour(own[index].letter)));
    return part;
  });
  const rows = children(element("legend"), ownNames, (index) => {
    const row = make("li", "");
    row.append(make("b", colour(own[index].letter)), make("span", "", own[index].purpose), make("em", ""));
    return row;
  });
  own.forEach((region, index) => {
    parts[index].style.flexGrow = Math.sqrt(region.size);
    parts[index].style.flexBasis = 0;
    parts[index].firstChild.style.width = `${100 * region.filled}%`;
    const share = region.filled < 1 ? `${Math.round(100 * region.filled)}% of ` : "";
    rows[index].lastChild.textContent = share + inUnits(region.size);
  });
  element("used").textContent = `${inUnits(console.used_bytes)} of ${inUnits(state.memory_bytes)}`;
  const cache = `${console.positions} of ${state.context} positions of the caches are filled`;
  element("strip").setAttribute("aria-label", `${element("used").textContent} are used; ${cache}`);
  element("strip").dataset.positions = console.positions;
}

function drawThreads(console) {
  const names = console.threads.map((thread) => String(thread.number));
  const rows = children(element("threads"), names, (index) => {
    const row = make("li", "");
    const { core, number } = console.threads[index];
    row.append(make("span", "", `Core ${core}, thread ${number}`), make("small", ""));
    return row;
  });
  console.threads.forEach((thread, index) => {
    rows[index].dataset.state = thread.state;
    rows[index].lastChild.textContent = thread.what;
  });
}

function drawGpu(state, console) {
  const gpu = console.gpu;
  const box = element("gpu");
  if (!gpu.used) {
    children(box, ["idle"], () => make("p", "", "At rest: the CPU computes. --engine gpu gives it the work."));
    return;
  }
  const [ring, text] = children(box, ["ring", "text"], (index) => {
    if (index) {
      return make("p", "");
    }
    const made = make("div", "ring");
    made.append(make("i", "read"), make("i", "write"));
    return made;
  });
  ring.firstChild.style.left = `${(100 * gpu.read) / gpu.ring_words}%`;
  ring.lastChild.style.left = `${(100 * gpu.write) / gpu.ring_words}%`;
  const places = `read at ${gpu.read}, written to ${gpu.write} of ${gpu.ring_words.toLocaleString("en")} words`;
  text.textContent = `Ring: ${places}. Fence ${gpu.fence.toLocaleString("en")}.`;
}

const REAL = { "naive scalar, one core": "Xbox 360, scalar", GPU: "Xbox 360, GPU" };

function drawSpeeds(state, console) {
  const cores = state.estimates.filter((row) => row.variant.startsWith("VMX, prefetched")).at(-1);
  const rows = state.estimates.filter((row) => row.variant in REAL || row === cores);
  const list = element("speeds");
  while (list.children.length > 1 + rows.length) {
    list.lastChild.remove();
  }
  rows.forEach((row, index) => {
    if (!list.children[index + 1]) {
      const made = make("div", "");
      made.append(make("dt", ""), make("dd", ""));
      list.append(made);
    }
    const [name, value] = list.children[index + 1].children;
    name.textContent = REAL[row.variant] ?? "Xbox 360, VMX";
    value.textContent = speedOf(row.tokens_per_second);
  });
  element("speed").textContent = console.tokens_per_second ? speedOf(console.tokens_per_second) : "–";
}

function drawTabs(state) {
  const box = element("consoles");
  box.hidden = state.consoles.length < 2;
  const buttons = children(box, state.consoles.map((_, index) => `${index}`), (index) => {
    const button = make("button", "", `${index + 1}`);
    button.type = "button";
    button.setAttribute("aria-label", `Console ${index + 1}`);
    button.addEventListener("click", () => (chosen = index));
    return button;
  });
  buttons.forEach((button, index) => button.setAttribute("aria-pressed", index === chosen));
}

function draw(state) {
  chosen = Math.min(chosen, state.consoles.length - 1);
  const console = state.consoles[chosen];
  model = state.model;
  element("model").textContent = `${state.model} on an emulated Xbox 360`;
  element("tokens").max = state.context;
  const busy = state.consoles.filter((each) => each.running).length;
  const waiting = state.waiting ? `, ${state.waiting} waiting` : "";
  show(busy ? "busy" : "idle", (busy ? "telling" : "ready") + waiting);
  drawTabs(state);
  drawMemory(state, console);
  drawThreads(console);
  drawGpu(state, console);
  drawSpeeds(state, console);
  return busy;
}

function show(state, text) {
  const pill = element("state");
  pill.dataset.state = state;
  if (pill.textContent !== text) {
    pill.textContent = text;
  }
}

async function look() {
  let busy = false;
  if (!document.hidden) {
    try {
      const answer = await fetch("console", { headers: headers() });
      if (answer.ok) {
        busy = draw(await answer.json());
      } else {
        show("wrong", await messageOf(answer));
      }
    } catch {
      show("wrong", "no connection");
    }
  }
  setTimeout(look, busy || running ? BUSY_PERIOD : IDLE_PERIOD);
}

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  tell();
});
element("stop").addEventListener("click", () => running?.abort());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    running?.abort();
  } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    element("form").requestSubmit();
  }
});
look();
