// Drives a browser for the tests: takes a command as a line of JSON on standard input, and answers each with one. Its
// packages are in the directory that it is started in; the argument is the browser's program.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const packages = createRequire(`${process.cwd()}/`);
const { chromium } = packages('playwright-core');
const axe = readFileSync(packages.resolve('axe-core/axe.min.js'), 'utf8');

// As root a browser has no sandbox; what is opened here is our own.
const browser = await chromium.launch({ executablePath: process.argv[2], args: ['--no-sandbox'] });
let page;
let complaints = [];

const commands = {
  /** Opens an address in a window of its own. */
  async open({ url, width, scheme }) {
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme });
    page = await context.newPage();
    page.setDefaultTimeout(20000);
    complaints = [];
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    await page.goto(url);
  },
  /** The texts of all elements that there are. */
  texts: ({ selector }) => page.locator(selector).allInnerTexts(),
  /** Waits until an element is shown whose text has this part. */
  async wait({ selector, part }) {
    await page.locator(selector).filter({ hasText: part }).first().waitFor();
  },
  /** Waits until no element has this part. */
  async wait_gone({ selector, part }) {
    await page.locator(selector).filter({ hasText: part }).first().waitFor({ state: 'hidden' });
  },
  click: ({ selector }) => page.locator(selector).first().click(),
  fill: ({ selector, value }) => page.locator(selector).fill(value),
  press: ({ key }) => page.keyboard.press(key),
  evaluate: ({ expression }) => page.evaluate(expression),
  resize: ({ width }) => page.setViewportSize({ width, height: 900 }),
  scheme: ({ scheme }) => page.emulateMedia({ colorScheme: scheme }),
  screenshot: ({ path }) => page.screenshot({ path, fullPage: true }),
  /** What is wrong for people who use a screen reader, or see colours otherwise. */
  async axe() {
    await page.evaluate(axe);
    const { violations } = await page.evaluate('axe.run(document, { resultTypes: ["violations"] })');
    return violations.map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)}: ${nodes[0].failureSummary}`);
  },
  /** Errors of the page's script, and what the browser has refused to load. */
  complaints: () => complaints,
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...given } = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await commands[command](given)) ?? null };
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
