// Appends messages by message-db's functions: message_db.mjs prepare URL makes its schema by its own files; message_db.mjs
// write URL appends until the standard input ends, and prints what was acknowledged.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { acknowledge, below, chance, packages, pause, write } from './loop.mjs';

const { Client } = packages('pg');

const CATEGORIES = 60;
const STREAMS = 2;

const prepare = async (client) => {
  const database = join(dirname(packages.resolve('@eventide/message-db/package.json')), 'database');
  const read = (name) => readFileSync(join(database, name), 'utf8');
  // The files that its scripts have psql run, in their order. Its extension is a part of PostgreSQL since 13.
  const scripts = ['install', 'install-functions', 'install-indexes', 'install-views', 'install-privileges'];
  const files = scripts.flatMap((script) => [...read(`${script}.sh`).matchAll(/\$base\/(\S+\.sql)/g)]);
  for (const [, file] of files.filter(([, name]) => !name.startsWith('extensions/'))) {
    await client.query(read(file));
  }
};

const writeMessage = async (client, stream) => {
  // Every second one says which version it expects, which is the last one unless somebody else was faster.
  let expected = null;
  if (chance(0.5)) {
    const { rows } = await client.query('SELECT coalesce(stream_version($1), -1) AS version', [stream]);
    expected = rows[0].version;
  }
  const { rows } = await client.query(
    "SELECT write_message(gen_random_uuid()::varchar, $1, 'Paid', $2, NULL, $3) AS version",
    [stream, { cents: below(100) }, expected],
  );
  return { stream, version: Number(rows[0].version) };
};

// A message in a savepoint that is rolled back, and of which nothing but a position that was drawn is left.
const writeInVain = async (client, stream) => {
  await client.query('SAVEPOINT before');
  await writeMessage(client, stream);
  await client.query('ROLLBACK TO before');
};

const category = (stream) => Number(stream.match(/\d+/)[0]);

const transaction = async (client) => {
  const written = [];
  // A category is locked until the end of a transaction: in this order, there are no deadlocks.
  const streams = Array.from({ length: 1 + below(4) }, () => `order${below(CATEGORIES)}-${below(STREAMS)}`).sort(
    (a, b) => category(a) - category(b),
  );
  await client.query('BEGIN');
  try {
    for (const stream of streams) {
      if (chance(0.1)) await writeInVain(client, stream);
      written.push(await writeMessage(client, stream));
      await pause();
    }
    if (chance(0.1)) throw new RolledBack();
    await client.query('COMMIT');
    written.forEach(({ stream, version }) => acknowledge(stream, version));
  } catch (error) {
    await client.query('ROLLBACK');
    if (!(error instanceof RolledBack || error.message.startsWith('Wrong expected version'))) throw error;
  }
};

class RolledBack extends Error {}

const [command, url] = process.argv.slice(2);
const connect = async (user) => {
  const connectionString = Object.assign(new URL(url), user).toString();
  const client = new Client({ connectionString, options: '-c search_path=message_store,public' });
  await client.connect();
  return client;
};
if (command === 'prepare') {
  const client = await connect({});
  await prepare(client);
  await client.end();
} else {
  const clients = await Promise.all(Array.from({ length: 6 }, () => connect({ username: 'message_store' })));
  await write(clients.length, (n) => transaction(clients[n]));
  await Promise.all(clients.map((client) => client.end()));
}
