import { hasOwnApplicationName } from '../run/child-environment.js';

/** The tools whose sessions do not get the lease's name by themselves, each with what docs/tools.md says about it. */
const BY_HAND: Record<string, { tool: string; line: string }> = {
  liquibase: {
    tool: 'Liquibase',
    line: `sh -c 'exec liquibase --url="$JDBC_URL?ApplicationName=$PGAPPNAME" update'`,
  },
  flyway: { tool: 'Flyway', line: `sh -c 'exec flyway -url="$JDBC_URL?ApplicationName=$PGAPPNAME" migrate'` },
  prisma: { tool: 'Prisma', line: '`?application_name=` in the URL' },
  alembic: {
    tool: 'Alembic',
    line: 'with asyncpg, `server_settings={"application_name": os.environ["PGAPPNAME"]}`',
  },
  typeorm: { tool: 'TypeORM', line: '`applicationName` wins' },
};

export const UNSET_NAME = 'Unset PGAPPNAME: migrate-lock then sets it to the name of the lease.';

/** For tests. */
export const LINES = Object.values(BY_HAND).map(({ line }) => line);

/** What gives the command's sessions their name. A tool is recognized by any word of the command: the line is advice only. */
export function nameByHand(command: readonly string[], env: NodeJS.ProcessEnv): string {
  if (hasOwnApplicationName(env)) return UNSET_NAME;
  const words = command.flatMap((word) => word.split(/[\s/]+/));
  const known = Object.entries(BY_HAND).find(([program]) => words.includes(program))?.[1];
  return known === undefined
    ? 'Give them the name that is in PGAPPNAME as their application_name, and leave out a name of your own.'
    : `For ${known.tool}: ${known.line}.`;
}
