import { storm, withLock } from './processes.mjs';
import { bar, seconds, table } from './text.mjs';

/**
 * Runs a command through migrate-lock several times at once, shows which ran when, and returns the faults.
 * @param {number} count
 * @param {string[]} command
 * @param {{ cwd: string, databaseUrl: string, waitTimeout: string }} options
 * @returns {Promise<string[]>} faults, none on success
 */
export async function lockedStorm(count, command, { waitTimeout, ...options }) {
  const started = Date.now();
  console.log(`${count} x migrate-lock run --wait-timeout ${waitTimeout} -- ${command.join(' ')}\n`);
  const finished = await storm(count, withLock(command, { waitTimeout }), {
    ...options,
    onEvent: (number, event) => {
      const at = seconds(Date.parse(event.time) - started).padStart(8);
      if (event.event === 'lock.acquired') {
        console.log(`${at}  instance ${number} has the lock, after ${seconds(Number(event['waitedMs']))}`);
      } else if (event.event === 'child.exited') {
        console.log(
          `${at}  instance ${number}: ${command[0]} exited ${event['exitCode'] ?? event['signal']}`,
        );
      }
    },
  });
  const runs = finished
    .map((instance) => summary(instance, started))
    .sort((a, b) => a.ranFromMs - b.ranFromMs);
  const totalMs = Math.max(1, ...runs.map(({ ranToMs }) => ranToMs));
  console.log('\nIn the order in which they ran (. waits, # runs):\n');
  table(
    ['instance', 'waited', 'ran', 'exit', `0 s ${seconds(totalMs).padStart(40)} `, 'the command said'],
    runs.map((run) => [
      run.number,
      seconds(run.waitedMs),
      seconds(run.ranToMs - run.ranFromMs),
      run.end,
      bar(run, totalMs),
      run.said,
    ]),
  );
  return [
    ...runs
      .filter(({ end }) => end !== '0')
      .map(({ number, end, stderr }) => `instance ${number} ended with ${end}: ${stderr}`),
    ...overlaps(runs),
  ];
}

/** @typedef {ReturnType<typeof summary>} Run */

/**
 * @param {import('./processes.mjs').Finished} finished
 * @param {number} started on the wall clock, which all events share
 */
function summary({ number, code, signal, events, stderr }, started) {
  /** @param {string} name */
  const find = (name) => events.find(({ event }) => event === name);
  /** @param {string} name */
  const at = (name) => Date.parse(find(name)?.time ?? events.at(-1)?.time ?? '') - started || 0;
  return {
    number,
    end: String(code ?? signal),
    waitedMs: Number(find('lock.acquired')?.['waitedMs'] ?? NaN),
    startedMs: Math.max(0, at('lock.acquired') - Number(find('lock.acquired')?.['waitedMs'] ?? 0)),
    ranFromMs: at('child.started'),
    ranToMs: at('child.exited'),
    stderr: stderr.trim(),
    said: stderr.trim().split('\n').at(-1)?.slice(0, 40) ?? '',
  };
}

/**
 * @param {Run[]} runs in the order of their start
 */
function overlaps(runs) {
  return runs.slice(1).flatMap((run, index) => {
    const before = runs[index];
    if (before === undefined || run.ranFromMs >= before.ranToMs) return [];
    return [`instances ${before.number} and ${run.number} ran at the same time`];
  });
}
