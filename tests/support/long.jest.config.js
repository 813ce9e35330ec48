import base from '../../jest.config.js';

/** The tests that take minutes each: crowds, random faults, mutations. */
/** @type {import('jest').Config} */
export default {
  ...base,
  maxWorkers: 2, // crowds of 100 and 200 processes
  rootDir: '../..',
  testMatch: ['<rootDir>/tests/**/*.long.test.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
};
