package androidx.test.ext.junit.runners

import org.junit.runner.Runner

class AndroidJUnit4 : Runner()
