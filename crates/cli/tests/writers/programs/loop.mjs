// What the writers in JavaScript have in common. Their packages are in the directory that they are started in.

import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

export const packages = createRequire(`${process.cwd()}/`);

/** A whole number below this one. */
export const below = (n) => Math.floor(Math.random() * n);

/** Mostly short, and now and then long enough that many others commit meanwhile. */
export const pause = () => sleep(Math.random() < 0.03 ? 1000 : below(12));

/** Whether something happens that does with this probability. */
export const chance = (probability) => Math.random() < probability;

/** Prints an event that its library has said to be appended. */
export const acknowledge = (stream, version) => {
  process.stdout.write(`${JSON.stringify({ stream, version })}\n`);
};

/** Writes in so many loops at once until the standard input ends, and each has done what it had begun. */
export const write = async (loops, step) => {
  let ended = false;
  process.stdin.resume().once('end', () => {
    ended = true;
  });
  const loop = async (n) => {
    while (!ended) {
      await step(n);
      await pause();
    }
  };
  await Promise.all(Array.from({ length: loops }, (_, n) => loop(n)));
};
