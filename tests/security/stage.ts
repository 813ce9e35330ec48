import postgres from 'postgres';
import { decide, ownerCalls, type OwnerDecisions } from '../../src/lock/owner-calls.js';
import { ensureSchema } from '../../src/schema/apply.js';
import { createDatabase, type TestDatabase, type TestRole } from '../harness/database.js';
import { openDatabase } from '../harness/lock.js';

/** A lock as a careful administrator makes it: an owner without other rights, and roles that it admits. */
export interface Stage {
  db: TestDatabase;
  owner: TestRole;
  /** Admitted: may use the lock. */
  app: TestRole;
  /** Admitted too, and nothing to do with the first. */
  other: TestRole;
  /** As which the commands of app's runs work. */
  child: TestRole;
  /** Neither. */
  stranger: TestRole;
  /** What the owner decides from now on. */
  decide: (decisions: Partial<OwnerDecisions>) => Promise<void>;
  /** A session of the role's own. */
  as: (role: TestRole, applicationName?: string) => postgres.Sql;
  close: () => Promise<void>;
}

export async function openStage(decisions: Partial<OwnerDecisions> = {}): Promise<Stage> {
  const db = await createDatabase();
  const [owner, app, other, child, stranger] = await Promise.all([
    db.createRole(),
    db.createRole(),
    db.createRole(),
    db.createRole(),
    db.createRole(),
  ]);
  await db.sql.unsafe(`GRANT CREATE ON DATABASE ${db.name} TO ${owner.name};
                       GRANT pg_signal_backend, pg_read_all_stats TO ${owner.name}`);
  const sessions: postgres.Sql[] = [];
  const stage: Stage = {
    db,
    owner,
    app,
    other,
    child,
    stranger,
    decide: async (decisions) => {
      const database = openDatabase(owner.url);
      await ensureSchema(database, 'migrate_lock');
      await decide(database, 'migrate_lock', ownerCalls({ childRoles: [], ...decisions }));
      database.disconnect();
    },
    as: (role, applicationName = 'a test') => {
      const connection = { application_name: applicationName };
      const session = postgres(role.url, { max: 1, onnotice: () => undefined, connection });
      sessions.push(session);
      return session;
    },
    close: async () => {
      await Promise.all(sessions.map((session) => session.end({ timeout: 1 })));
      await db.drop();
    },
  };
  await stage.decide({ ...decisions, role: app.name, childRoles: [child.name] });
  await stage.decide({ role: other.name });
  return stage;
}

export const sqlState = (work: PromiseLike<unknown>): Promise<string> =>
  Promise.resolve(work).then(
    () => 'done',
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  );
