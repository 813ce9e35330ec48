import { spawn, spawnSync } from 'node:child_process';
import { endProcess, isAlive } from '../../support/processes.js';
import { screenOf } from '../../support/screen.js';
import { waitFor } from '../../support/wait-for.js';
import type { Stage } from './stage.js';

/** script(1) of util-linux makes the terminal. */
export const hasTerminals =
  process.platform === 'linux' && spawnSync('script', ['-qec', 'true', '/dev/null']).status === 0;

/** What a terminal shows of a wait, beside another run that waits. */
export async function waitingLine(stage: Stage): Promise<string> {
  stage.migration('backfill', 'SELECT pg_sleep(600)');
  const holder = stage.start('run', '--ttl', '10m', '--', 'knex', 'migrate:latest');
  await holder.waitForEvent('child.started');
  await stage.start('run', '--wait-timeout', '10m', '--', 'true').waitForEvent('lock.waiting');
  return lineInTerminal(stage, 'migrate-lock run --wait-timeout 10m -- knex migrate:latest', / 2 waiting$/);
}

/** The line of a terminal that looks like this, as soon as it is there. The shell line is ended then. */
async function lineInTerminal(stage: Stage, shell: string, wanted: RegExp): Promise<string> {
  const { cwd, env } = stage.surroundings();
  const script = spawn('script', ['-qfc', `stty cols 100 rows 24; exec ${shell}`, '/dev/null'], {
    cwd,
    env: { ...env, SHELL: '/bin/sh', TERM: 'xterm' },
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
  });
  let output = '';
  script.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
  try {
    return await waitFor('the line', () => screenOf(output).find((line) => wanted.test(line)));
  } finally {
    // The end of the terminal is a SIGHUP for what runs in it.
    if (script.pid !== undefined && isAlive(script.pid)) await endProcess(script.pid);
  }
}
