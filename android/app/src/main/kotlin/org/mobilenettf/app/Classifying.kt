package org.mobilenettf.app

import android.content.Context
import android.graphics.Bitmap
import java.io.IOException
import java.util.concurrent.Executor
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.ThreadPoolExecutor
import java.util.concurrent.TimeUnit

/** The answer for one image: best first, and the time that the engine took. */
class Answer(val engine: EngineKind, val guesses: List<Guess>, val latencyMs: Double)

/** The assets could not be read, or do not belong together. */
class BundleException(cause: Throwable) : Exception(cause)

/** The engine could not load the model. */
class EngineException(cause: Throwable) : Exception(cause)

/**
 * Owns the engine and the one thread that it runs on.
 *
 * All functions but [executor] and [close] are for that thread.
 */
class Classifying(private val context: Context) {
    private val worker =
        ThreadPoolExecutor(
            1,
            1,
            0L,
            TimeUnit.MILLISECONDS,
            LinkedBlockingQueue(),
            ThreadPoolExecutor.DiscardPolicy(),
        )
    private var engine: Engine? = null
    private var engineKind: EngineKind? = null

    private val labels by lazy { parseLabels(readAsset(LABELS_FILE)) }
    private val input by lazy { parseGolden(readAsset(GOLDEN_FILE)).input }

    /** Where to run work; what comes after [close] is dropped. */
    val executor: Executor = worker

    /**
     * Classifies an upright image.
     *
     * @throws BundleException, EngineException, RuntimeException from the engine.
     */
    fun classify(kind: EngineKind, image: Bitmap): Answer {
        val engine = open(kind)
        val startNs = System.nanoTime()
        val probabilities = engine.classify(image)
        val latencyMs = (System.nanoTime() - startNs) / 1e6
        return Answer(kind, topK(probabilities, labels, SHOWN), latencyMs)
    }

    private fun open(kind: EngineKind): Engine {
        engine?.let { if (engineKind == kind) return it }
        closeEngine()
        val (input, classes) =
            try {
                input to labels.size
            } catch (error: IOException) {
                throw BundleException(error)
            } catch (error: IllegalArgumentException) {
                throw BundleException(error)
            }
        val opened =
            try {
                kind.open(context, input, classes)
            } catch (error: Exception) { // Each engine has exceptions of its own.
                throw EngineException(error)
            } catch (error: LinkageError) { // The phone's processor has no library in the app.
                throw EngineException(error)
            }
        engine = opened
        engineKind = kind
        return opened
    }

    /** Closes the engine after the work that is under way; callable on any thread. */
    fun close() {
        worker.execute(::closeEngine)
        worker.shutdown()
    }

    private fun closeEngine() {
        engine?.close()
        engine = null
        engineKind = null
    }

    private fun readAsset(name: String): String =
        context.assets.open(name).use { it.readBytes().decodeToString() }

    private companion object {
        const val SHOWN = 5
    }
}
