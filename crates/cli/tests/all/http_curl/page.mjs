// Runs the script of the page /docs of a service, as a browser does as far as the page needs one, and prints the document, and what the page shows:
// the heading and curl line of each operation, and the text of its section about the token.
const address = process.argv[2];

class Node {
  constructor(name) { Object.assign(this, { name, attributes: {}, children: [] }); }
  setAttribute(key, value) { this.attributes[key] = value; }
  append(...nodes) { this.children.push(...nodes); }
  prepend(...nodes) { this.children.unshift(...nodes); }
  set textContent(text) { this.children = [text]; }
  get textContent() { return this.children.map((child) => child.textContent ?? String(child)).join(""); }
  all(name) {
    const inside = this.children.flatMap((child) => child instanceof Node ? child.all(name) : []);
    return this.name === name ? [this, ...inside] : inside;
  }
}

const page = await (await fetch(`${address}/docs`)).text();
const script = page.split("<script>")[1].split("</script>")[0];
const byId = Object.fromEntries(["title", "version", "about", "main"].map((id) => [id, new Node(id)]));
globalThis.document = { title: "", createElement: (name) => new Node(name), getElementById: (id) => byId[id] };
globalThis.location = { hash: "", protocol: "http:" };
const shown = new Promise((resolve) => { globalThis.addEventListener = resolve; });
const fetched = globalThis.fetch;
globalThis.fetch = (path) => fetched(address + path);
new Function(script)();
await shown;

const curl = (node) => node.all("pre").filter((pre) => pre.attributes.class === "curl").map((pre) => pre.textContent);
const operations = byId.main.all("details").filter((details) => curl(details).length > 0);
const api = await (await fetched(`${address}/docs/openapi.json`)).json();
console.log(JSON.stringify({
  api,
  authorisation: byId.main.all("section").map((section) => section.textContent).join(""),
  operations: operations.map((details) => ({
    operation: details.all("summary")[0].children.slice(0, 2).map((child) => child.textContent).join(" "),
    lines: curl(details),
    examples: details.all("pre").filter((pre) => !pre.attributes.class).map((pre) => pre.textContent),
  })),
}));
