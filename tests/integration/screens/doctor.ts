import type { Stage } from './stage.js';

export const DOCTOR = {
  doctor: (stage: Stage) => stage.show('migrate-lock doctor'),

  /** The owner has admitted another role. */
  'doctor-without-rights': async (stage: Stage) => {
    await ownedLock(stage, 'shop');
    const run = await stage.show('migrate-lock run -- knex migrate:latest > events.jsonl');
    return `${run}\n${await stage.show("migrate-lock doctor | grep '^fail'")}`;
  },
};

/** As docs/hardening.md says. */
export async function ownedLock(stage: Stage, admitted: string): Promise<void> {
  const administrator = stage.sessionOf('postgres', 'a test');
  await administrator.unsafe('GRANT pg_signal_backend, pg_read_all_stats TO lock_owner');
  await stage.client('app', 'a test', 'GRANT CREATE ON DATABASE app TO lock_owner');
  await stage.does(`migrate-lock init --grant-to ${admitted}`, { DATABASE_URL: stage.urlOf('lock_owner') });
}
