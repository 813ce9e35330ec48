import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { query } from '../adversarial/failover/replicated-pair.js';
import { assertNothingLeft } from '../support/run-cli.js';
import { PatroniCluster } from './cluster.js';
import { Crowd, overlaps } from './crowd.js';
import { MISSING } from './programs.js';

/** A cluster that Patroni leads, under eight runs at once: by all hosts in one URL, and by HAProxy where it is installed. */

const RUNS = 8;
if (MISSING.length > 0)
  process.stderr.write(`not installed: ${MISSING.join(', ')}; the tests with Patroni are skipped\n`);

(MISSING.length > 0 ? describe.skip : describe).each([
  ['synchronous', true],
  ['asynchronous', false],
])('a cluster with %s replication', (_, isSynchronous) => {
  let cluster: PatroniCluster;
  let crowd: Crowd;

  beforeAll(async () => {
    cluster = await PatroniCluster.start(isSynchronous);
  });
  beforeEach(async () => {
    await cluster.waitUntilHealthy();
    await query(
      cluster.urlOf(await cluster.leader()),
      'DROP SCHEMA IF EXISTS migrate_lock CASCADE',
      'DROP TABLE IF EXISTS ran',
      'CREATE TABLE ran (instance_id text, during tstzrange, EXCLUDE USING gist (during WITH &&))',
    );
    crowd = new Crowd();
  });
  afterEach(() => crowd.close());
  afterEach(() => assertNothingLeft());
  afterAll(() => cluster.stop());

  test.each<[string, () => Promise<void>]>([
    ['a switchover', () => cluster.switchOver()],
    ['a primary that is killed', async () => (await cluster.leader()).kill()],
    [
      'a primary that stands still until another has been promoted',
      async () => {
        const former = await cluster.leader();
        former.pause();
        await cluster.leader(former);
        // It goes on. With asynchronous replication it would give the lock a second time until Patroni stops it: a
        // watchdog ends the machine before that.
        if (isSynchronous) former.resume();
        else await former.kill();
      },
    ],
  ])('%s: never two at once, and each run ends with a code that says what happened', async (_, act) => {
    crowd.start(RUNS, cluster.urls);
    await crowd.waitForMigrations(3);
    await act();
    const ends = await crowd.ends();
    const intervals = crowd.intervals();
    const leader = cluster.urlOf(await cluster.leader());
    const rows = await query(leader, 'SELECT instance_id AS id FROM ran');
    const kept = new Set(rows.map(({ id }) => String(id)));
    const codes = ends.map(({ code }) => String(code)).join(' ');
    process.stderr.write(`exit codes ${codes}; ${intervals.length} migrations, ${kept.size} on the new primary
`);

    expect(overlaps(intervals)).toEqual([]);
    for (const { code, instanceId, events, stderr } of ends) {
      const finished = events.at(-1);
      expect({ finished, stderr }).toMatchObject({ finished: { event: 'run.finished', exitCode: code } });
      // The migration's own failure, the lost lease, or the deadline of a migration that the server never answered.
      expect([0, 3, 70, 124]).toContain(code);
      if (code === 0 && isSynchronous) expect(kept).toContain(instanceId);
    }
    expect(ends.filter(({ code }) => code === 0).length).toBeGreaterThanOrEqual(RUNS - 2);
  });
});
