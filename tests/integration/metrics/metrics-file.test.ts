import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createEventStream } from '../../../src/events/event-stream.js';
import { OUTCOMES, type EventContext, type EventBody } from '../../../src/events/events.js';
import { MetricsFile } from '../../../src/metrics/metrics-file.js';
import { plain, tableOf } from '../../support/documents.js';
import { parsePrometheusText } from '../../support/prometheus-text.js';

const NOBODY = 65_534;
const START_MS = Date.parse('2026-01-31T12:00:00.000Z');
const expiresAt = '2026-01-31T12:00:30.000Z';
const holder = {
  holder: 'x',
  holderHost: 'web-1',
  holderCommand: 'knex',
  heldMs: 1_000,
  expiresInMs: 29_000,
};
const waiting = (waitedMs: number, queueLength: number): EventBody => ({
  event: 'lock.waiting',
  ...holder,
  waitedMs,
  queueLength,
});
const acquired: EventBody = {
  event: 'lock.acquired',
  waitedMs: 2_500,
  polls: 7,
  ttlMs: 30_000,
  expiresAt,
  auditHash: null,
  previousEnd: null,
};
const released: EventBody = { event: 'lock.released', heldMs: 1_250, auditHash: null };
const completed: EventBody = {
  event: 'run.finished',
  outcome: 'completed',
  exitCode: 3,
  durationMs: 4_000,
};

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-metrics-'));
  file = join(folder, 'migrate-lock.prom');
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Writes the metrics of a run with these events, one second apart. */
async function write(happened: EventBody[], context: Partial<EventContext> = {}, to = file): Promise<void> {
  const metrics = new MetricsFile(to);
  let atMs = START_MS;
  const { emit } = createEventStream(
    { instanceId: 'me', host: 'h', pid: 1, database: 'app', schema: 'migrate_lock', ...context },
    [metrics.onEvent],
    { now: () => new Date((atMs += 1_000)) },
  );
  happened.forEach(emit);
  await metrics.write();
}

/** Runs the function as another user. */
async function asNobody(work: () => Promise<void>): Promise<void> {
  process.seteuid?.(NOBODY);
  try {
    await work();
  } finally {
    process.seteuid?.(0);
  }
}

/** Each metric's one value; for the result, the outcome whose value is 1. */
function read(): Record<string, unknown> {
  const found = [...parsePrometheusText(readFileSync(file, 'utf8'))].map(([name, { samples }]) => {
    const values = samples.length === 1 ? samples : samples.filter(({ value }) => value !== 0);
    expect(values).toHaveLength(1);
    return [name, samples.length === 1 ? values[0]?.value : values[0]?.labels.result];
  });
  return Object.fromEntries(found) as Record<string, unknown>;
}

describe('the metrics', () => {
  test('of a run that waited, took over, held and ended', async () => {
    const takeover: EventBody = {
      event: 'lock.takeover',
      previousInstanceId: 'x',
      expiredMs: 1,
      sessionsEnded: 0,
      auditHash: null,
    };
    await write([waiting(10, 9), waiting(2_000, 12), takeover, acquired, released, completed]);
    expect(read()).toEqual({
      migrate_lock_wait_seconds: 2.5,
      migrate_lock_hold_seconds: 1.25,
      migrate_lock_polls_total: 7,
      migrate_lock_queue_length: 9,
      migrate_lock_takeovers_total: 1,
      migrate_lock_exit_code: 3,
      migrate_lock_result: 'completed',
      migrate_lock_finished_timestamp_seconds: START_MS / 1_000 + 6,
    });
  });

  test('of a run with --max-block: for how long others have waited is not its wait', async () => {
    const blocking: EventBody = {
      ...{
        event: 'database.blocking',
        sessionPid: 1,
        role: null,
        state: null,
        statement: null,
        object: null,
      },
      ...{ waiting: 1, waitedMs: 9_000, action: 'cancelled', reason: null },
    };
    await write([acquired, blocking, released, completed]);
    expect(read()).toMatchObject({ migrate_lock_wait_seconds: 2.5 });
  });

  test('of a run that found the lock free', async () => {
    await write([acquired, released, completed]);
    expect(read()).toMatchObject({ migrate_lock_queue_length: 0, migrate_lock_takeovers_total: 0 });
  });

  test('of a run that gave up at its first attempt', async () => {
    const gaveUp: EventBody = {
      event: 'wait.timeout',
      ...holder,
      queueLength: 4,
      waitedMs: 30,
      polls: 1,
      handovers: 0,
    };
    await write([gaveUp, { event: 'run.finished', outcome: 'conflict', exitCode: 75, durationMs: 40 }]);
    expect(read()).toMatchObject({
      migrate_lock_wait_seconds: 0.03,
      migrate_lock_hold_seconds: 0,
      migrate_lock_polls_total: 1,
      migrate_lock_queue_length: 4,
      migrate_lock_exit_code: 75,
      migrate_lock_result: 'conflict',
    });
  });

  test('of a run that was interrupted while it waited', async () => {
    const interrupted: EventBody = {
      event: 'run.finished',
      outcome: 'interrupted',
      exitCode: 143,
      durationMs: 2_200,
    };
    await write([waiting(0, 2), waiting(2_000, 3), interrupted]);
    expect(read()).toMatchObject({ migrate_lock_wait_seconds: 2, migrate_lock_result: 'interrupted' });
  });

  test.each<[string, EventBody]>([
    ['could not release', { event: 'lock.release_failed', code: 'X', message: 'gone', expiresAt }],
    ['lost its lease', { event: 'lock.lost', holder: null }],
  ])('of a run that %s: it held the lock until then', async (_, end) => {
    await write([acquired, end, { event: 'run.finished', outcome: 'lost', exitCode: 70, durationMs: 9 }]);
    expect(read()).toMatchObject({ migrate_lock_hold_seconds: 1, migrate_lock_result: 'lost' });
  });
});

test.each(OUTCOMES)('the result %s is 1, and every other is 0', async (outcome) => {
  await write([{ event: 'run.finished', outcome, exitCode: 0, durationMs: 1 }]);
  const result = parsePrometheusText(readFileSync(file, 'utf8')).get('migrate_lock_result');
  expect(result?.type).toBe('gauge');
  expect(result?.samples.map(({ labels, value }) => [labels.result, value])).toEqual(
    OUTCOMES.map((one) => [one, one === outcome ? 1 : 0]),
  );
});

test('every sample names database and schema, with any characters', async () => {
  const names = { database: 'a"b\\c\nd', schema: 'é{}' };
  await write([completed], names);
  const samples = [...parsePrometheusText(readFileSync(file, 'utf8')).values()].flatMap(
    (metric) => metric.samples,
  );
  for (const { labels } of samples) expect(labels).toMatchObject(names);
  await write([completed], { database: null });
  expect(readFileSync(file, 'utf8')).toContain('migrate_lock_exit_code{database="",schema="migrate_lock"} 3');
});

describe('the file', () => {
  test('is replaced as a whole, is readable by everyone, and leaves no other file', async () => {
    writeFileSync(file, 'x'.repeat(100_000), { mode: 0o600 });
    const before = statSync(file).ino;
    const umask = process.umask(0o077);
    try {
      await write([completed]);
    } finally {
      process.umask(umask);
    }
    expect(read()).toMatchObject({ migrate_lock_exit_code: 3 });
    expect(statSync(file).ino).not.toBe(before);
    expect(statSync(file).mode & 0o777).toBe(0o644);
    expect(readdirSync(folder)).toEqual(['migrate-lock.prom']);
  });

  test('is not written before the run has finished', async () => {
    await write([acquired, released]);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('behind a link is replaced, and the link stays', async () => {
    const link = join(folder, 'link');
    mkdirSync(join(folder, 'real'));
    writeFileSync(join(folder, 'real', 'm.prom'), '');
    symlinkSync('real/m.prom', link);
    await write([completed], {}, link);
    expect(readlinkSync(link)).toBe('real/m.prom');
    expect(readFileSync(join(folder, 'real', 'm.prom'), 'utf8')).toContain('migrate_lock_exit_code');
  });

  test('behind a dangling link of the same user is created there', async () => {
    const link = join(folder, 'link');
    mkdirSync(join(folder, 'real'));
    symlinkSync('real/m.prom', link);
    await write([completed], {}, link);
    expect(readlinkSync(link)).toBe('real/m.prom');
    expect(readdirSync(join(folder, 'real'))).toEqual(['m.prom']);
  });

  test('behind links in a circle is refused', async () => {
    symlinkSync('b', join(folder, 'a'));
    symlinkSync('a', join(folder, 'b'));
    await expect(write([completed], {}, join(folder, 'a'))).rejects.toThrow(/a chain of more than 40 links/);
  });

  describe('in a folder that everyone can write to, such as /tmp (skipped where we are not root)', () => {
    const asRoot = process.getuid?.() === 0 ? test : test.skip;
    const precious = () => join(folder, 'precious');
    beforeEach(() => {
      chmodSync(folder, 0o1777);
      writeFileSync(precious(), 'precious');
    });

    asRoot.each([
      ['a link of another user at its place', () => file, () => symlinkSync('precious', file)],
      ['a link of another user to nothing', () => file, () => symlinkSync('new', file)],
      [
        'a link of another user on the way',
        () => join(folder, 'way', 'm.prom'),
        () => symlinkSync('.', join(folder, 'way')),
      ],
      ['a file of another user', () => file, () => writeFileSync(file, 'theirs')],
    ])('%s is refused, and nothing is written', async (_, to, make) => {
      const before = readdirSync(folder);
      make();
      const [made = ''] = readdirSync(folder).filter((name) => !before.includes(name));
      lchownSync(join(folder, made), NOBODY, NOBODY);
      await expect(write([completed], {}, to())).rejects.toThrow(
        /another user \(uid 65534\); remove it, or write into a folder that only you can write$/,
      );
      expect(readFileSync(precious(), 'utf8')).toBe('precious');
      expect(readdirSync(folder).sort()).toEqual([...before, made].sort());
      expect(lstatSync(join(folder, made)).uid).toBe(NOBODY);
    });

    asRoot('links of another user under the names that could be guessed do no harm', async () => {
      for (const name of ['.migrate-lock.prom.me', '.migrate-lock.prom']) {
        symlinkSync('precious', join(folder, name));
        lchownSync(join(folder, name), NOBODY, NOBODY);
      }
      await write([completed]);
      expect(read()).toMatchObject({ migrate_lock_exit_code: 3 });
      expect(readFileSync(precious(), 'utf8')).toBe('precious');
    });

    asRoot(
      'a user who is not root writes over a link of root, but not over one of a third user',
      async () => {
        const link = join(folder, 'link');
        mkdirSync(join(folder, 'real'));
        chmodSync(join(folder, 'real'), 0o777);
        symlinkSync('real/m.prom', link);
        await asNobody(() => write([completed], {}, link));
        expect(readdirSync(join(folder, 'real'))).toEqual(['m.prom']);
        lchownSync(link, 1, 1);
        await expect(asNobody(() => write([completed], {}, link))).rejects.toThrow(
          /a link of another user \(uid 1\)/,
        );
      },
    );
  });

  test.each([
    ['in a folder that is not there', (at: string) => join(at, 'none', 'm.prom'), /ENOENT/],
    ['that is a folder', (at: string) => at, /not a regular file/],
  ])('%s is refused, and the attempt leaves nothing', async (_, path, problem) => {
    await expect(write([completed], {}, path(folder))).rejects.toThrow(problem);
    expect(readdirSync(folder)).toEqual([]);
  });

  // Unlike /dev/null: a rename would replace it with a file.
  test('that is a pipe is refused, and stays a pipe', async () => {
    execFileSync('mkfifo', [file]);
    await expect(write([completed])).rejects.toThrow(/not a regular file/);
    expect(statSync(file).isFIFO()).toBe(true);
    expect(readdirSync(folder)).toEqual(['migrate-lock.prom']);
  });

  (process.getuid?.() === 0 ? test.skip : test)(
    'in a folder without write permission is refused (skipped for root)',
    async () => {
      chmodSync(folder, 0o500);
      await expect(write([completed])).rejects.toThrow(/EACCES/);
      chmodSync(folder, 0o700);
    },
  );
});

test('the documents and the example name the existing metrics and results', async () => {
  await write([completed]);
  const written = parsePrometheusText(readFileSync(file, 'utf8'));
  const root = new URL('../../../', import.meta.url);
  const rows = tableOf('docs/operations.md', 'metric', 'type', '');
  const documented = rows.map(([name = '', type]) => [plain(name), type]);
  expect(documented).toEqual([...written].map(([name, { type }]) => [name, type]));

  const rules = readFileSync(new URL('examples/node-exporter/migrate-lock.rules.yml', root), 'utf8');
  const used = rules.match(/\bmigrate_lock_\w+/g) ?? [];
  expect(used.length).toBeGreaterThan(4);
  expect(used.filter((name) => !written.has(name))).toEqual([]);
  const results = [...rules.matchAll(/result="(\w+)"/g)].map(([, name]) => name);
  expect(results.filter((name) => !OUTCOMES.some((outcome) => outcome === name))).toEqual([]);
});
