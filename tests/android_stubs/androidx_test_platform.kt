package androidx.test.platform.app

import android.content.Context

class Instrumentation {
    val targetContext: Context get() = TODO()
}

class InstrumentationRegistry {
    companion object {
        fun getInstrumentation(): Instrumentation = TODO()
    }
}
