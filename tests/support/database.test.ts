import { expect, test } from '@jest/globals';
import postgres from 'postgres';
import { createDatabase } from './database.js';

test('creates a database and a role, and drops both even while sessions are connected', async () => {
  const database = await createDatabase();
  const role = await database.createRole();
  const guest = postgres(role.url, { max: 1, onnotice: () => undefined });
  const [row] = await guest`SELECT current_user AS role, current_database() AS name`;
  expect(row).toEqual({ role: role.name, name: database.name });
  await expect(guest`CREATE TABLE public.t ()`).rejects.toMatchObject({ code: '42501' });

  await database.drop();
  await expect(guest`SELECT 1`).rejects.toThrow();
  await guest.end({ timeout: 1 });
  const other = await createDatabase();
  const [left] = await other.sql`
    SELECT (SELECT count(*)::int FROM pg_database WHERE datname = ${database.name}) AS databases,
           (SELECT count(*)::int FROM pg_roles WHERE rolname = ${role.name}) AS roles`;
  await other.drop();
  expect(left).toEqual({ databases: 0, roles: 0 });
});
