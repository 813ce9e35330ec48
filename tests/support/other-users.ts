import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CLI } from './run-cli.js';

/** An ordinary user, who may signal nobody else's processes, and another one. They need no names. */
const NOBODY = 65_534;
export const SOMEBODY = 64_321;

/** Words that run a command as an ordinary user, when they are put in front of it. */
export const AS_NOBODY = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];

/**
 * A place for a program like sudo: whoever calls it becomes another user, whom the caller cannot signal. It lies in a folder
 * that every user may enter.
 */
export class Become {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'migrate-lock-become-'));
  readonly #program = path.join(this.folder, 'become');

  constructor() {
    chmodSync(this.folder, 0o777);
    const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find((file) => existsSync(file));
    if (setpriv === undefined) return;
    copyFileSync(setpriv, this.#program);
    chmodSync(this.#program, 0o4755);
  }

  /** What a shell takes, to be put in front of a command. */
  get words(): string {
    return `'${this.#program}' --reuid=${SOMEBODY} --regid=${SOMEBODY} --clear-groups`;
  }

  /** Whether an ordinary user can start migrate-lock here, and become somebody else: root only, and no nosuid mount. */
  get works(): boolean {
    const ask = `'${process.execPath}' '${CLI}' --version >/dev/null && ${this.words} id -u`;
    const { stdout } = spawnSync(AS_NOBODY[0] ?? '', [...AS_NOBODY.slice(1), 'sh', '-c', ask], {
      encoding: 'utf8',
      cwd: '/',
    });
    return stdout === `${SOMEBODY}\n`;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}
