import type { Stage } from './stage.js';

/** What a migration that was cut off has left: its tool's lock, an INVALID index, and the mark of an unclean end. */
export const AFTER_CRASH = {
  'doctor-after-crash': async (stage: Stage) => {
    await stage.does('migrate-lock run -- knex migrate:latest');
    await interruptedIndex(stage);
    return stage.show("migrate-lock doctor | grep -v '^ok'");
  },

  'run-after-crash': async (stage: Stage) => {
    await stage.does('migrate-lock run -- knex migrate:latest');
    await interruptedIndex(stage);
    return stage.show('migrate-lock run -- npm run -s migrate > events.jsonl');
  },

  'run-recovers': async (stage: Stage) => {
    await stage.does('migrate-lock run -- knex migrate:latest');
    await interruptedIndex(stage);
    return stage.show(
      "migrate-lock run --recover 'npx knex migrate:unlock' -- npm run -s migrate > events.jsonl",
    );
  },
};

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
