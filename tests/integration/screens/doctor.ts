import type { Stage } from './stage.js';

const NOT_OK = "migrate-lock doctor | grep -v '^ok'";

export const DOCTOR = {
  doctor: (stage: Stage) => stage.show('migrate-lock doctor'),

  /** The owner has admitted another role. */
  'doctor-without-rights': async (stage: Stage) => {
    await ownedLock(stage, 'shop');
    const run = await stage.show('migrate-lock run -- knex migrate:latest > events.jsonl');
    return `${run}\n${await stage.show("migrate-lock doctor | grep '^fail'")}`;
  },

  /** A killed migration has left its tool's lock, an INVALID index and a prepared transaction. */
  'doctor-after-crash': async (stage: Stage) => {
    await stage.does('migrate-lock run -- knex migrate:latest');
    await interruptedIndex(stage);
    return stage.show(NOT_OK);
  },

  'run-after-crash': async (stage: Stage) => {
    await stage.does('migrate-lock run -- knex migrate:latest');
    await interruptedIndex(stage);
    return stage.show('migrate-lock run -- npm run -s migrate > events.jsonl');
  },
};

/** As docs/hardening.md says. */
export async function ownedLock(stage: Stage, admitted: string): Promise<void> {
  const administrator = stage.sessionOf('postgres', 'a test');
  await administrator.unsafe('GRANT pg_signal_backend, pg_read_all_stats TO lock_owner');
  await stage.client('app', 'a test', 'GRANT CREATE ON DATABASE app TO lock_owner');
  await stage.does(`migrate-lock init --grant-to ${admitted}`, { DATABASE_URL: stage.urlOf('lock_owner') });
}

/** `npm run` is not recognized as knex: its lock, which an index outside of a transaction leaves, is not released by itself. */
async function interruptedIndex(stage: Stage): Promise<void> {
  stage.package({ migrate: 'knex migrate:latest' });
  stage.migration(
    'index_quantity',
    'CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_quantity ON orders (quantity)',
    {
      transaction: false,
    },
  );
  await stage.client('app', 'web', 'BEGIN; UPDATE orders SET quantity = quantity WHERE id = 1');
  const run = stage.start('run', '--', 'npm', 'run', '-s', 'migrate');
  await stage.untilWaiting(1);
  run.kill('SIGTERM');
  await run.done;
  await stage.endClients();
}
