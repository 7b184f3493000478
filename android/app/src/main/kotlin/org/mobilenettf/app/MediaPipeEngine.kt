package org.mobilenettf.app

import android.content.Context
import android.graphics.Bitmap
import com.google.mediapipe.framework.image.BitmapImageBuilder
import com.google.mediapipe.tasks.core.BaseOptions
import com.google.mediapipe.tasks.vision.core.RunningMode
import com.google.mediapipe.tasks.vision.imageclassifier.ImageClassifier
import com.google.mediapipe.tasks.vision.imageclassifier.ImageClassifier.ImageClassifierOptions

/** MediaPipe Tasks: scales the image itself, and reads the labels inside the model. */
class MediaPipeEngine(context: Context, private val classes: Int) : Engine {
    private val classifier =
        ImageClassifier.createFromOptions(
            context,
            ImageClassifierOptions.builder()
                .setBaseOptions(BaseOptions.builder().setModelAssetPath(MODEL_FILE).build())
                .setRunningMode(RunningMode.IMAGE)
                .setMaxResults(classes)
                .build(),
        )

    override fun classify(image: Bitmap): FloatArray {
        val result = classifier.classify(BitmapImageBuilder(image).build())
        val probabilities = FloatArray(classes)
        // Sorted by score; the index is the line of labels.txt.
        for (category in result.classificationResult().classifications().first().categories()) {
            probabilities[category.index()] = category.score()
        }
        return probabilities
    }

    override fun close() = classifier.close()
}
