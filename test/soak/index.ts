/** `npm run soak`: a log of three processes, or with --browser two people in two browsers */
if (process.argv.includes('--browser')) {
  await import('./soak-browser.ts')
} else {
  await import('./soak-replication.ts')
}

export {}
