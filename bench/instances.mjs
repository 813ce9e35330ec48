import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { environmentOf, followToEnd } from './processes.mjs';

/** Instances that wait, in some processes. */
export class Instances {
  #processes;

  /**
   * @param {string} url
   * @param {number} processes
   * @param {string} [program] what each of the processes runs
   */
  constructor(url, processes, program = 'waiting-instances.mjs') {
    const file = fileURLToPath(new URL(program, import.meta.url));
    this.#processes = Array.from({ length: processes }, () => {
      const child = fork(file, [], { env: environmentOf({ DATABASE_URL: url }), execArgv: [] });
      followToEnd(child);
      return { child, ready: said(child, 'ready') };
    });
  }

  /**
   * Adds instances, one every so many milliseconds, and waits until all of them wait.
   * @param {number} count
   * @param {number} everyMs
   */
  async come(count, everyMs) {
    const share = count / this.#processes.length;
    await this.#order('waiting', { come: share, everyMs: everyMs * this.#processes.length });
  }

  /**
   * Makes all leave the queue.
   * @param {number} everyMs
   */
  async go(everyMs) {
    await this.#order('gone', { goEveryMs: everyMs * this.#processes.length });
  }

  /**
   * @param {string} answer
   * @param {import('./waiting-instances.mjs').Order} order
   */
  async #order(answer, order) {
    await Promise.all(
      this.#processes.map(async ({ child, ready }) => {
        await ready;
        const done = said(child, answer);
        child.send(order);
        await done;
      }),
    );
  }
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @param {string} word
 * @returns {Promise<void>}
 */
function said(child, word) {
  const promise = new Promise((resolve, reject) => {
    child.on('message', (message) => {
      if (message === word) resolve(undefined);
    });
    child.once('exit', (code, signal) => reject(new Error(`the waiting instances ended: ${code ?? signal}`)));
  });
  promise.catch(() => undefined);
  return promise;
}
