import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { TestDatabase } from '../../support/database.js';
import { runCli, startCli, type CliResult } from '../../support/run-cli.js';
import { startRelay } from '../../support/relay.js';
import { useDatabase } from '../../support/use-database.js';

/** `--recover COMMAND`: after an unclean end of a command, the next run of it recovers first. */

let db: TestDatabase;
useDatabase((made) => (db = made));

/** The same command each time; what it does is in the environment, as is what its recovery does. */
const COMMAND = ['--', 'sh', '-c', 'eval "$WORK"'];
const RECOVER = ['--recover', 'eval "$RECOVERY"'];
const options = (work: string, recovery: string) => ({
  env: { DATABASE_URL: db.url, WORK: work, RECOVERY: recovery },
});
const run = (work: string, recovery = 'exit 9', ...args: string[]) =>
  runCli(['run', ...RECOVER, ...args, ...COMMAND], options(work, recovery));
const start = (work: string, recovery: string, ...args: string[]) =>
  startCli(['run', ...RECOVER, ...args, ...COMMAND], options(work, recovery));

/** Leaves an unclean end. */
const endUncleanly = () => run('kill -KILL $$');
const names = ({ events }: Pick<CliResult, 'events'>) => events.map(({ event }) => event);
const stored = () =>
  db.sql<{ kind: string; instanceId: string }[]>`
    SELECT kind, instance_id AS "instanceId" FROM migrate_lock.migration_lock_unclean_end`;

describe('a recovery', () => {
  test('is not run after a clean end, nor at the first run', async () => {
    for (const work of ['exit 3', 'true', 'true']) {
      expect(names(await run(work))).not.toContain('recover.started');
    }
  });

  test('is run before the command, under the lease, and clears the unclean end', async () => {
    const ended = await endUncleanly();
    const said =
      'echo "recovering $MIGRATE_LOCK_PREVIOUS_END $MIGRATE_LOCK_PREVIOUS_INSTANCE_ID $MIGRATE_LOCK_PREVIOUS_COMMAND"; ' +
      'echo "as $PGAPPNAME"';
    const next = await run('echo "the work"; exit 4', said);
    expect(next).toMatchObject({ code: 4 });
    const instanceId = next.events[0]?.instanceId ?? '';
    expect(names(next).filter((name) => /started|exited|acquired|released/.test(name))).toEqual([
      ...['lock.acquired', 'recover.started', 'recover.exited', 'child.started', 'child.exited'],
      'lock.released',
    ]);
    expect(next.stderr).toContain(
      `recovering signalled ${ended.events[0]?.instanceId ?? ''} sh -c 'eval "$WORK"'`,
    );
    expect(next.stderr).toContain(`as migrate-lock:${instanceId}`);
    // The command failed, so only the recovery can have cleared it.
    expect(await stored()).toHaveLength(0);
  });

  test('that fails is the end of the run: its exit code, no command, and the unclean end stays', async () => {
    const ended = await endUncleanly();
    const next = await run('echo never', 'exit 7');
    expect(next).toMatchObject({ code: 7 });
    expect(names(next)).not.toContain('child.started');
    expect(next.events.at(-1)).toMatchObject({ outcome: 'unrecovered', exitCode: 7 });
    expect(await stored()).toMatchObject([{ kind: 'signalled', instanceId: ended.events[0]?.instanceId }]);
    expect(names(next)).toContain('lock.released');
  });

  test('that ended with 0 but left a process behind may not have finished: the unclean end stays', async () => {
    const ended = await endUncleanly();
    const next = await run('exit 4', 'sleep 60 & exit 0');
    expect(next).toMatchObject({ code: 4 });
    expect(await stored()).toMatchObject([{ instanceId: ended.events[0]?.instanceId }]);
  });

  test('that hangs is ended at the deadline, and the unclean end stays', async () => {
    await endUncleanly();
    const next = await run('echo never', 'exec sleep 60', '--ttl', '3s', '--kill-grace', '1s');
    expect(next).toMatchObject({ code: 124 });
    expect(names(next)).toContain('child.deadline');
    expect(names(next)).not.toContain('child.started');
    expect(await stored()).toMatchObject([{ kind: 'signalled' }]);
  });

  test('gets a signal, and the command is not started after it', async () => {
    await endUncleanly();
    const running = start('echo never', 'trap "exit 0" TERM; while :; do sleep 0.1; done');
    await running.waitForEvent('recover.started');
    running.kill('SIGTERM');
    const result = await running.done;
    expect(result).toMatchObject({ code: 143 });
    expect(names(result)).not.toContain('child.started');
    expect(await stored()).toMatchObject([{ kind: 'signalled' }]);
  });

  test('a signal does not wait for a database that does not answer the search for leftovers', async () => {
    await endUncleanly();
    const { hostname, port } = new URL(db.url);
    const relay = await startRelay({ host: hostname, port: Number(port) });
    const running = startCli(['run', ...RECOVER, ...COMMAND], {
      env: { ...options('echo never', '').env, DATABASE_URL: relay.through(db.url) },
    });
    relay.beforeRequest('indisvalid', () => {
      relay.set('silent');
      running.kill('SIGTERM');
      // This connection stays silent.
      setImmediate(() => relay.set('pass'));
    });
    const result = await running.done;
    await relay.close();
    expect(result).toMatchObject({ code: 143 });
    expect(result.events.at(-1)).toMatchObject({ event: 'run.finished', outcome: 'interrupted' });
    const { heldMs } = result.events.find((event) => event.event === 'lock.released') ?? { heldMs: Infinity };
    expect(heldMs).toBeLessThan(10_000);
  });

  test('that is killed with its run is repeated', async () => {
    await endUncleanly();
    const running = start('echo never', 'exec sleep 60');
    await running.waitForEvent('recover.started');
    running.kill('SIGKILL');
    const next = await run('true', 'true');
    expect(next).toMatchObject({ code: 0 });
    expect(names(next)).toContain('recover.exited');
    expect(await stored()).toHaveLength(0);
  });

  test('is repeated when the run is killed after it', async () => {
    await endUncleanly();
    const running = start('exec sleep 60', 'true');
    await running.waitForEvent('child.started');
    running.kill('SIGKILL');
    const next = await run('true', 'true');
    expect(next).toMatchObject({ code: 0 });
    expect(names(next)).toContain('recover.exited');
  });

  test('during which `unlock` ended the lease is not followed by the command', async () => {
    await endUncleanly();
    const folder = mkdtempSync(join(tmpdir(), 'migrate-lock-test-'));
    const gate = join(folder, 'gate');
    const running = start('echo never', `until [ -e '${gate}' ]; do sleep 0.1; done`);
    await running.waitForEvent('recover.started');
    const unlock = ['unlock', '--force', `--instance=${running.events()[0]?.instanceId ?? ''}`];
    expect(await runCli(unlock, { ...options('', ''), auditOnly: false })).toMatchObject({ code: 0 });
    writeFileSync(gate, '');
    const result = await running.done;
    rmSync(folder, { recursive: true });
    expect(result).toMatchObject({ code: 70 });
    expect(names(result)).not.toContain('child.started');
  });

  test('never gets the stdin of the command', async () => {
    await endUncleanly();
    const next = await runCli(['run', ...RECOVER, ...COMMAND], {
      ...options('cat', 'cat'),
      input: 'for the command\n',
    });
    expect(next).toMatchObject({ code: 0 });
    expect(next.stderr).toContain('for the command');
    expect(next.stderr.match(/for the command/g)).toHaveLength(1);
  });

  test('`none` switches it off, also with a newline as a block of YAML has it', async () => {
    await endUncleanly();
    const other = await runCli(['run', '--recover', 'none\n', ...COMMAND], options('exit 4', ''));
    expect(other).toMatchObject({ code: 4 });
    expect(names(other)).not.toContain('recover.started');
  });

  test('`none` switches it off', async () => {
    await endUncleanly();
    const next = await runCli(['run', '--recover', 'none', ...COMMAND], options('true', ''));
    expect(next).toMatchObject({ code: 0 });
    expect(names(next)).not.toContain('recover.started');
  });

  test('needs a shell, and says so before anything is locked', async () => {
    const result = await runCli(['run', ...RECOVER, '--', process.execPath, '-e', '0'], {
      env: { DATABASE_URL: db.url, PATH: '/nonexistent' },
    });
    expect(result).toMatchObject({ code: 127 });
    expect(result.events.map(({ event }) => event)).toEqual(['error', 'run.finished']);
    expect(result.stderr).toContain('there is no sh in PATH, which runs the line of --recover');
  });

  test('an empty one is a usage error', async () => {
    const result = await runCli(['run', '--recover', ' ', ...COMMAND], {
      ...options('true', ''),
      auditOnly: false,
    });
    expect(result).toMatchObject({ code: 64 });
  });
});
