package org.mobilenettf.app

import android.content.Context
import android.graphics.Bitmap

/** What runs the model. Use and close it on one thread. */
interface Engine : AutoCloseable {
    /**
     * Classifies a whole image, stretched to the model's input.
     *
     * @param image upright, ARGB_8888, of any size.
     * @return a probability for each class, in the order of labels.txt.
     */
    fun classify(image: Bitmap): FloatArray
}

/** The engines to choose from. */
enum class EngineKind {
    MEDIAPIPE,
    LITERT,
    ;

    /** Loads the model from the assets; takes milliseconds, so not on the main thread. */
    fun open(context: Context, input: ModelInput, classes: Int): Engine =
        when (this) {
            MEDIAPIPE -> MediaPipeEngine(context, classes)
            LITERT -> LiteRtEngine(context, input, classes)
        }
}
