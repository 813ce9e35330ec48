import { describe, expect, test } from '@jest/globals';
import { redactCommand } from '../../../src/redact/command.js';
import { processorTimeMs } from '../../support/processor-time.js';

describe('redactCommand', () => {
  test.each([
    [['knex', 'migrate:latest'], 'knex migrate:latest'],
    [['npm', 'run', 'db:password:reset'], 'npm run db:password:reset'],
    [["it's", 'a b', ''], `'it'\\''s' 'a b' ''`],
    [['psql', '-p5432', '--no-password', '-h', 'h'], 'psql -p5432 --no-password -h h'],
    [
      ['x', '--password-stdin', 'y', '--password-file', '/run/x'],
      'x --password-stdin y --password-file /run/x',
    ],
    [['env', 'PWD=/srv', 'x'], 'env PWD=/srv x'],
    [['npx', 'https://unpkg.com/@scope/pkg'], 'npx https://unpkg.com/@scope/pkg'],
  ])('%j holds no secret and is shown unchanged', (argv, shown) => {
    expect(redactCommand(argv)).toBe(shown);
  });

  test.each([
    [['psql', 'postgres://u:hunter2@h/d'], 'psql postgres://u:***@h/d'],
    [['psql', 'postgres://u:hun@ter:2@h:5432/d'], 'psql postgres://u:***@h:5432/d'],
    [['psql', 'postgres://u:hun/t?e#r2@h/d'], 'psql postgres://u:***@h/d'],
    [['psql', 'postgres://:hunter2@h/d'], 'psql postgres://:***@h/d'],
    [
      ['psql', 'postgres://u@h/d?password=hunter2&sslmode=require'],
      "psql 'postgres://u@h/d?password=***&sslmode=require'",
    ],
    [['psql', 'postgres://u@h/d?a=b&sslpassword=hun&ter2'], "psql 'postgres://u@h/d?a=b&sslpassword=***'"],
    [['git', 'clone', 'https://hunter2@h/x'], 'git clone https://***@h/x'],
    [['git', 'clone', 'https://hunter2:x-oauth-basic@h/x'], 'git clone https://***:***@h/x'],
    [['x', '--url=postgres://u:hunter2@h/d', 'y'], 'x --url=postgres://u:***@h/d y'],
    [
      ['flyway', '-url=jdbc:postgresql://h/d?user=u&password=hunter2'],
      "flyway '-url=jdbc:postgresql://h/d?user=u&password=***'",
    ],
    [['x', 'jdbc:sqlserver://h;user=u;password=hunter2'], "x 'jdbc:sqlserver://h;user=u;password=***'"],
    [['x', '--password=hunter2', 'y'], 'x --password=*** y'],
    [['x', '--password', 'hunter2', 'y'], 'x --password *** y'],
    [['x', '--password', '-hunter2', 'y'], 'x --password *** y'],
    [['x', '--password', '--token', 'hunter2'], 'x --password *** ***'],
    [['x', '--db-token', 'hunter2', '--api-key', 'hunter2'], 'x --db-token *** --api-key ***'],
    [
      ['x', '-password=hunter2', '-Dspring.datasource.password=hunter2'],
      'x -password=*** -Dspring.datasource.password=***',
    ],
    [['env', 'PGPASSWORD=hunter2', 'DB_PWD=hunter2', 'psql'], 'env PGPASSWORD=*** DB_PWD=*** psql'],
    [['env', 'PASSWORD=hun ter=2', 'x'], 'env PASSWORD=*** x'],
    [['psql', "host=h password='hun\\' ter2' dbname=d"], "psql 'host=h password=*** dbname=d'"],
    [['psql', 'host=h password=hun\\ t=er2 dbname=d'], "psql 'host=h password=*** dbname=d'"],
    [
      ['x', 'Host=h;User Id=u;Password="hun;t=er2";Database=d'],
      "x 'Host=h;User Id=u;Password=***;Database=d'",
    ],
    [
      ['curl', '-H', 'Authorization: Bearer hunter2', '-u', 'u:hunter2'],
      "curl -H 'Authorization: ***' -u u:***",
    ],
    [['mysqldump', '-phunter2', '-P3306'], 'mysqldump -p*** -P3306'],
    [['npm', 'set', '//registry/:_authToken=hunter2'], 'npm set //registry/:_authToken=***'],
    [
      ['x', '{"db":{"password":"hun ter2","url":"postgres://u:hunter2@h/d","port":5432}}'],
      `x '{"db":{"password":"***","url":"postgres://u:***@h/d","port":5432}}'`,
    ],
  ])('%j', (argv, shown) => {
    expect(redactCommand(argv)).toBe(shown);
  });

  test.each([
    [
      'PGPASSWORD=hunter2 psql postgres://u:hunter2@h/d && echo "all done"',
      'PGPASSWORD=*** psql postgres://u:***@h/d && echo "all done"',
    ],
    [
      'export PGPASSWORD=\'hun ter2\'; x --password "hun $X ter2" | tee log',
      'export PGPASSWORD=***; x --password *** | tee log',
    ],
    ['PGPASSWORD=$(echo hunter2) psql', 'PGPASSWORD=*** psql'],
    [`psql -c "ALTER ROLE app PASSWORD 'hunter2'"`, `psql -c 'ALTER ROLE app PASSWORD ***'`],
    ["bash -lc 'PGPASSWORD=hunter2 psql'", "bash -lc 'PGPASSWORD=*** psql'"],
    ["psql 'host=h password=hunter2'", "psql 'host=h password=***'"],
  ])('sh -c %j', (script, shown) => {
    expect(redactCommand(['sh', '-c', script])).toBe(redactCommand(['sh', '-c', shown]));
    expect(redactCommand(['sh', '-c', script])).toContain('***');
    expect(redactCommand(['sh', '-c', script])).not.toMatch(/hun|ter2/);
  });

  test.each([
    [['node', '-e', "connect({ password: 'hun ter2' })"]],
    [['node', '-e', 'connect({ password: `hun ter2` })']],
    [['sh', '-c', "PGPASSWORD='hunter2"]],
    [['sh', '-c', 'psql "postgres://u:hunter2@h']],
    [['ruby', '-e', 'c(:password => "hun ter2")']],
  ])('%j cannot be parsed, and is hidden', (argv) => {
    expect(redactCommand(argv)).not.toMatch(/hun|ter2/);
  });

  test('redacts deeply nested scripts', () => {
    let script = 'PGPASSWORD=hunter2 psql';
    for (let depth = 0; depth < 12; depth++) script = `sh -c '${script.replaceAll("'", "'\\''")}'`;
    expect(redactCommand(['sh', '-c', script])).not.toContain('hunter2');
  });

  test('redacts a long command line before it cuts it', () => {
    const shown = redactCommand(['x', 'y'.repeat(966), `postgres://u:${'hunter2'.repeat(20)}@h/d`]);
    expect(shown).toHaveLength(989);
    expect(redactCommand(['x'.repeat(2_000)])).toHaveLength(1_000);
  });

  test('redacts a huge command line in linear time', async () => {
    const tookMs = await processorTimeMs(() => {
      redactCommand(['sh', '-c', '"$('.repeat(30_000)]);
      redactCommand(['sh', '-c', 'a=b '.repeat(30_000)]);
      redactCommand(['x', ' '.repeat(100_000), `a=${' '.repeat(100_000)}`, `${'a'.repeat(100_000)} b`]);
      redactCommand(['x', `a='${"''".repeat(50_000)} b`, `h=1 p='${'\\'.repeat(50_000)}`]);
    });
    expect(tookMs).toBeLessThan(2_000);
  });
});
