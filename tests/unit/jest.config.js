import base from '../../jest.config.js';

/** The tests that use no database and start no process. */
/** @type {import('jest').Config} */
const config = { ...base, rootDir: '../..', testMatch: ['<rootDir>/tests/unit/**/*.test.ts'] };
delete config.globalSetup;
delete config.globalTeardown;
export default config;
