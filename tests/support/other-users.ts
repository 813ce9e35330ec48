import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CLI, NODE } from './run-cli.js';

/** The ids of two ordinary users, who may not signal each other's processes. They need no names. */
const NOBODY = 65_534;
export const SOMEBODY = 64_321;

/** Words in front of a command that run it as an ordinary user. */
export const AS_NOBODY = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];

/**
 * Installs a program like sudo: its caller becomes another user, whom the caller cannot signal. It is in a folder
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

  /** Shell words in front of a command. */
  get words(): string {
    return `'${this.#program}' --reuid=${SOMEBODY} --regid=${SOMEBODY} --clear-groups`;
  }

  /**
   * Whether this machine can run migrate-lock as an ordinary user who becomes another: root only, and no nosuid mount.
   */
  get works(): boolean {
    const ask = `'${NODE}' '${CLI}' --version >/dev/null && ${this.words} id -u`;
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
